-- keep(id, log_bytes): what Redis holds is of one epoch of the database; what is of another is dropped.
--
--   KEYS[1]  the note of the epoch: a hash of its id and of how long PostgreSQL's log was
--   ARGV[1]  the database's epoch
--   ARGV[2]  how long its log is, in bytes
--   ARGV[3]  the pattern of all keys of ours; a Redis may have others' too
--
-- Answers how many keys were dropped. One script, so that nothing new is written in between and dropped as well.
local known = redis.call('HGET', KEYS[1], 'id')
if known == ARGV[1] then
  if tonumber(ARGV[2]) > tonumber(redis.call('HGET', KEYS[1], 'log_bytes')) then
    redis.call('HSET', KEYS[1], 'log_bytes', ARGV[2])
  end
  return 0
end
local dropped = 0
if known then
  local cursor = '0'
  repeat
    local page = redis.call('SCAN', cursor, 'MATCH', ARGV[3], 'COUNT', 1000)
    cursor = page[1]
    for _, key in ipairs(page[2]) do
      dropped = dropped + redis.call('UNLINK', key)
    end
  until cursor == '0'
end
redis.call('HSET', KEYS[1], 'id', ARGV[1], 'log_bytes', ARGV[2])
return dropped
