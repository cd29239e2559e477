-- keep(id, log_bytes): what Redis holds is of one epoch of the database; what is of another is dropped.
--
--   KEYS[1]  the note of the epoch: a hash of its id, how long PostgreSQL's log was, and the epochs before it
--   ARGV[1]  the database's epoch
--   ARGV[2]  how long its log is, in bytes
--   ARGV[3]  the pattern of all keys of ours; a Redis may have others' too
--
-- Answers how many keys were dropped; -1 where the database's epoch was replaced here by another, which is left alone.
-- One script, so that nothing new is written in between and dropped as well.
local note = redis.call('HMGET', KEYS[1], 'id', 'log_bytes', 'replaced')
local known, log_bytes, replaced = note[1], tonumber(note[2] or '') or 0, note[3] or ''
if known == ARGV[1] then
  if tonumber(ARGV[2]) > log_bytes then
    redis.call('HSET', KEYS[1], 'log_bytes', ARGV[2])
  end
  return 0
end
if string.find(replaced, ARGV[1], 1, true) then
  return -1
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
  replaced = replaced .. ' ' .. known
end
redis.call('HSET', KEYS[1], 'id', ARGV[1], 'log_bytes', ARGV[2], 'replaced', replaced)
return dropped
