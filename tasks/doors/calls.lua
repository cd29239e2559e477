-- A register of calls: jobs that the request which asked for them waits for.
--
-- KEYS[1]  sorted set, job id -> the moment (Redis' clock, in seconds) until which its request is known to wait
-- KEYS[2]  the same of those calls that ask the same with the same key; for `forsaken` a hash with the moments of the
--          last look at all calls, and of the first after a time without any
-- ARGV     what to do, then what that wants
--
-- open   ID, LEASE_S, KEPT_S  the request waits; equal ones are forgotten after so long without a word -> 1
-- keep   ID, LEASE_S, KEPT_S  it still does                                         -> 0 when the call isn't its any more
-- leave  ID, KEPT_S           its client is gone                                    -> 0 when the call isn't its any more
-- close  ID                   it has been answered                                  -> 1
-- join   LEASE_S, KEPT_S      takes over a call whose request waits no more         -> its id; "" when each still has its request;
--                                                                                      nil when there is none
-- forsaken GRACE_S, LIMIT, LEASE_S  takes out those that nobody has waited for in so long -> their ids; none where nobody
--                             has looked for a lease: Redis may have been out of reach, and requests that wait say so first

local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

local function note(id, seconds, kept_s)
  local at = now()
  redis.call('ZADD', KEYS[1], at + seconds, id)
  redis.call('ZADD', KEYS[2], at + seconds, id)
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', at - kept_s)
  redis.call('EXPIRE', KEYS[2], kept_s)
  return 1
end

local function extend(id, seconds, kept_s)
  if not redis.call('ZSCORE', KEYS[1], id) then
    return 0
  end
  return note(id, seconds, kept_s)
end

local does = {}

function does.open(id, lease_s, kept_s)
  return note(id, tonumber(lease_s), tonumber(kept_s))
end

function does.keep(id, lease_s, kept_s)
  return extend(id, tonumber(lease_s), tonumber(kept_s))
end

function does.leave(id, kept_s)
  return extend(id, 0, tonumber(kept_s))
end

function does.close(id)
  redis.call('ZREM', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
  return 1
end

function does.join(lease_s, kept_s)
  while true do
    local id = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now(), 'LIMIT', 0, 1)[1]
    if not id then
      break
    end
    if extend(id, tonumber(lease_s), tonumber(kept_s)) == 1 then
      return id
    end
    redis.call('ZREM', KEYS[2], id)
  end
  return redis.call('ZCARD', KEYS[2]) > 0 and '' or nil
end

function does.forsaken(grace_s, limit, lease_s)
  local at = now()
  if at - tonumber(redis.call('HGET', KEYS[2], 'last') or 0) > tonumber(lease_s) then
    redis.call('HSET', KEYS[2], 'since', at)
  end
  redis.call('HSET', KEYS[2], 'last', at)
  redis.call('EXPIRE', KEYS[2], 60)
  if at - tonumber(redis.call('HGET', KEYS[2], 'since')) < tonumber(lease_s) then
    return {}
  end
  local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', at - tonumber(grace_s), 'LIMIT', 0, limit)
  for _, id in ipairs(ids) do
    redis.call('ZREM', KEYS[1], id)
  end
  return ids
end

return does[ARGV[1]](unpack(ARGV, 2))
