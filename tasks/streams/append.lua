-- append(expected, entries): the only way anything is written into a job's stream.
--
--   KEYS[1]  the job's stream; an entry's id is <attempt>-<seq>, <attempt>-0 opens an attempt, and names this life of
--            Redis: what was written since is lost only if that is over, or the stream is gone
--   KEYS[2]  this life of Redis, and since when streams have been opened in it
--   ARGV[1]  the attempt that writes
--   ARGV[2]  the id the writer believes to be the last, 'open' to shut older attempts out, or 'anew' to shut them
--            out and drop what they wrote
--   ARGV[3]  seconds the stream lives on after this write
--   ARGV[4…] pairs of seq and payload, seq rising
--
-- Answers 'ok', 'fenced' (a newer attempt has opened the stream) or 'lost' (Redis lost what the writer had
-- written; nothing was appended). A repeated call is harmless: what is already there is skipped.
local function split(id)
  local attempt, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(attempt), tonumber(seq)
end

local attempt, opening = tonumber(ARGV[1]), ARGV[2] == 'open' or ARGV[2] == 'anew'
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local last_attempt, last_seq = 0, -1
if last then
  last_attempt, last_seq = split(last[1])
end
if last_attempt > attempt then
  return 'fenced'
end
if not opening then
  local expected_attempt, expected_seq = split(ARGV[2])
  if last_attempt < attempt or expected_attempt ~= attempt or last_seq < expected_seq then
    return 'lost'
  end
end
if ARGV[2] == 'anew' then
  redis.call('DEL', KEYS[1])
  last_attempt, last_seq = 0, -1
end
local life = ''
if opening then
  local told, info = pcall(redis.call, 'INFO', 'server')
  life = told and string.match(info, 'run_id:(%x+)') or ''
  if string.match(redis.call('GET', KEYS[2]) or '', '^%x*') ~= life then
    redis.call('SET', KEYS[2], life .. ' ' .. redis.call('TIME')[1])
  end
end
for i = 4, #ARGV, 2 do
  local seq = tonumber(ARGV[i])
  if last_attempt < attempt or seq > last_seq then
    redis.call('XADD', KEYS[1], attempt .. '-' .. seq, 'j', seq == 0 and ARGV[i + 1] == '' and life or ARGV[i + 1])
    last_attempt, last_seq = attempt, seq
  end
end
redis.call('EXPIRE', KEYS[1], tonumber(ARGV[3]))
return 'ok'
