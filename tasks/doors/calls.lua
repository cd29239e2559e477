-- A register of calls: jobs that the request which asked for them waits for.
--
-- KEYS[1]  sorted set, job id -> the moment (Redis' clock, in seconds) until which its request is known to wait
-- KEYS[2]  set of the ids of calls that ask the same with the same key; only `open`, `close` and `join` have it
-- ARGV     what to do, then what that wants
--
-- open   ID, LEASE_S, TTL_S   the request waits                                     -> 1
-- keep   ID, LEASE_S          it still does                                         -> 0 when the call isn't its any more
-- leave  ID                   its client is gone                                    -> 0 when the call isn't its any more
-- close  ID                   it has been answered                                  -> 1
-- join   LEASE_S              takes over a call whose request waits no more         -> its id; "" when all still have one;
--                                                                                      nil when there is none
-- forsaken GRACE_S, LIMIT     takes out those that nobody has waited for in so long -> their ids

local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

local function extend(id, seconds)
  if not redis.call('ZSCORE', KEYS[1], id) then
    return 0
  end
  redis.call('ZADD', KEYS[1], now() + seconds, id)
  return 1
end

local does = {}

function does.open(id, lease_s, ttl_s)
  redis.call('ZADD', KEYS[1], now() + tonumber(lease_s), id)
  redis.call('SADD', KEYS[2], id)
  redis.call('EXPIRE', KEYS[2], ttl_s)
  return 1
end

function does.keep(id, lease_s)
  return extend(id, tonumber(lease_s))
end

function does.leave(id)
  return extend(id, 0)
end

function does.close(id)
  redis.call('ZREM', KEYS[1], id)
  redis.call('SREM', KEYS[2], id)
  return 1
end

function does.join(lease_s)
  local found = nil
  for _, id in ipairs(redis.call('SMEMBERS', KEYS[2])) do
    local until_ = redis.call('ZSCORE', KEYS[1], id)
    if not until_ then
      redis.call('SREM', KEYS[2], id)
    elseif tonumber(until_) <= now() then
      redis.call('ZADD', KEYS[1], now() + tonumber(lease_s), id)
      return id
    else
      found = ''
    end
  end
  return found
end

function does.forsaken(grace_s, limit)
  local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now() - tonumber(grace_s), 'LIMIT', 0, limit)
  for _, id in ipairs(ids) do
    redis.call('ZREM', KEYS[1], id)
  end
  return ids
end

return does[ARGV[1]](unpack(ARGV, 2))
