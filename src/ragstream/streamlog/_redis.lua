-- What the Redis log does atomically: one script, its first argument says what.
--
-- KEYS[1] is the prefix of all keys; the rest are named from it, so this is not for Redis Cluster.
--   <prefix>:log:<stream>     hash: owner, by (the producing process), token, last, size, type (once ended), stop, deleted
--   <prefix>:events:<stream>  stream: an entry <seq>-0 for each event, with its type and data
--   <prefix>:live             hash: logs without a terminal event -> the process that writes them, '' if none
--   <prefix>:leases           hash: process -> until when it is held to be alive, in milliseconds of Redis's clock
--   <prefix>:ended            sorted set: ended logs by the time of their end
--   <prefix>:sizes, :bytes    hash and sum: what ended logs take
-- A channel <prefix>:bell:<stream> rings for readers elsewhere, <prefix>:to:<process> speaks to a process.
--
-- Everything may be executed twice: whoever lost a reply asks again.

local LOST, GONE = -1, -2
local prefix = KEYS[1]
local at = 1 -- of the next argument

local function take()
  at = at + 1
  return ARGV[at]
end

local function takeNumber()
  return tonumber(take())
end

local function log(stream) return prefix .. ':log:' .. stream end
local function events(stream) return prefix .. ':events:' .. stream end

local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function ring(stream, word)
  redis.call('PUBLISH', prefix .. ':bell:' .. stream, word)
end

local function renew(process, lease)
  redis.call('HSET', prefix .. ':leases', process, now() + lease)
end

local function isAlive(process)
  if not process or process == '' then return false end
  return (tonumber(redis.call('HGET', prefix .. ':leases', process)) or 0) > now()
end

-- The token and the last seq of a log that its writer may go on with, or LOST, or GONE.
local function held(stream, token)
  local found = redis.call('HMGET', log(stream), 'token', 'last', 'deleted')
  if found[3] then return LOST end
  if not found[1] then return GONE end
  if found[1] ~= token then return LOST end
  return tonumber(found[2])
end

-- Take a log off the list of ended ones.
local function unlist(stream)
  redis.call('ZREM', prefix .. ':ended', stream)
  local size = redis.call('HGET', prefix .. ':sizes', stream)
  if size then
    redis.call('HDEL', prefix .. ':sizes', stream)
    redis.call('DECRBY', prefix .. ':bytes', size)
  end
end

local commands = {}

-- process, lease, stream, owner, claim, lifetime -> 1, or 0 if the id was used
function commands.open()
  local process, lease, stream, owner, claim, lifetime = take(), takeNumber(), take(), take(), take(), take()
  local claimed = redis.call('HGET', log(stream), 'claim')
  if claimed == claim then return 1 end
  if redis.call('EXISTS', log(stream)) == 1 then return 0 end
  redis.call('HSET', log(stream), 'owner', owner, 'by', process, 'token', 1, 'last', 0, 'size', 0, 'claim', claim)
  redis.call('PEXPIRE', log(stream), lifetime)
  redis.call('HSET', prefix .. ':live', stream, process)
  renew(process, lease)
  return 1
end

-- process, lease, stream, owner, token, lifetime: make a log anew that Redis has lost
function commands.restore()
  local process, lease, stream, owner, token, lifetime = take(), takeNumber(), take(), take(), take(), take()
  if redis.call('EXISTS', log(stream)) == 0 then
    redis.call('DEL', events(stream))
    redis.call('HSET', log(stream), 'owner', owner, 'by', process, 'token', token, 'last', 0, 'size', 0)
    redis.call('PEXPIRE', log(stream), lifetime)
    redis.call('HSET', prefix .. ':live', stream, process)
    renew(process, lease)
  end
  return held(stream, token)
end

-- lifetime, retention, then for each log: stream, token, the seq of the first event, how many there are, the
-- type of the last one if it ends the log, and type and data of each -> for each log its last seq, LOST or GONE
function commands.append()
  local lifetime, retention, replies = take(), take(), {}
  while at < #ARGV do
    local stream, token, first, count, ending = take(), take(), takeNumber(), takeNumber(), take()
    local from, last = at, held(stream, token)
    at = at + 2 * count
    if last >= first - 1 and last < first + count - 1 then
      local size = 0
      for seq = last + 1, first + count - 1 do
        local place = from + 2 * (seq - first) + 1
        redis.call('XADD', events(stream), string.format('%d-0', seq), 't', ARGV[place], 'd', ARGV[place + 1])
        size = size + #ARGV[place + 1]
      end
      if last == 0 then redis.call('PEXPIRE', events(stream), lifetime) end
      last = first + count - 1
      redis.call('HSET', log(stream), 'last', last)
      size = redis.call('HINCRBY', log(stream), 'size', size)
      if ending ~= '' then
        redis.call('HSET', log(stream), 'type', ending)
        redis.call('HDEL', prefix .. ':live', stream)
        unlist(stream) -- if its end was lost and is said anew
        redis.call('ZADD', prefix .. ':ended', now(), stream)
        redis.call('HSET', prefix .. ':sizes', stream, size)
        redis.call('INCRBY', prefix .. ':bytes', size)
        redis.call('PEXPIRE', log(stream), retention)
        redis.call('PEXPIRE', events(stream), retention)
      end
      ring(stream, last)
    end
    replies[#replies + 1] = last
  end
  return replies
end

-- stream -> nothing, or owner, token, last seq, type of the end, size, whether its producer is alive
function commands.find()
  local stream = take()
  local found = redis.call('HMGET', log(stream), 'owner', 'token', 'last', 'type', 'size', 'by', 'deleted')
  if not found[1] or found[7] then return false end
  found[6] = isAlive(found[6]) and 1 or 0
  found[4] = found[4] or ''
  return { found[1], tonumber(found[2]), tonumber(found[3]), found[4], tonumber(found[5]), found[6] }
end

-- process, lease, stream, claim, whether a lease that ran out counts -> GONE, LOST, or owner, token, last seq, size
function commands.adopt()
  local process, lease, stream, claim, steady = take(), takeNumber(), take(), take(), take()
  local found = redis.call('HMGET', log(stream), 'owner', 'token', 'last', 'size', 'by', 'type', 'deleted', 'claim')
  if not found[1] or found[7] then return GONE end
  if found[6] then return LOST end
  local token = tonumber(found[2])
  if found[8] ~= claim then
    if found[5] ~= '' and (steady ~= '1' or isAlive(found[5])) then return LOST end
    token = token + 1
    redis.call('HSET', log(stream), 'by', process, 'token', token, 'claim', claim)
    redis.call('HDEL', log(stream), 'stop')
    redis.call('HSET', prefix .. ':live', stream, process)
    renew(process, lease)
  end
  return { found[1], token, tonumber(found[3]), tonumber(found[4]) }
end

-- process, streams: nobody writes them any more
function commands.release()
  local process = take()
  while at < #ARGV do
    local stream = take()
    if redis.call('HGET', log(stream), 'by') == process then
      redis.call('HSET', log(stream), 'by', '')
      if redis.call('HEXISTS', prefix .. ':live', stream) == 1 then
        redis.call('HSET', prefix .. ':live', stream, '')
      end
    end
  end
end

-- process, lease, then stream and token of each log that it writes -> whether Redis knew the process, and for
-- each log its last seq, LOST or GONE, and by whom it shall be stopped
function commands.beat()
  local process, lease, replies = take(), takeNumber(), {}
  replies[1] = redis.call('HEXISTS', prefix .. ':leases', process)
  renew(process, lease)
  while at < #ARGV do
    local stream, token = take(), take()
    replies[#replies + 1] = held(stream, token)
    replies[#replies + 1] = redis.call('HGET', log(stream), 'stop') or ''
  end
  return replies
end

-- process: it ends
function commands.leave()
  redis.call('HDEL', prefix .. ':leases', take())
end

-- process -> the logs that it is held to write
function commands.mine()
  local process, live, mine = take(), redis.call('HGETALL', prefix .. ':live'), {}
  for i = 1, #live, 2 do
    if live[i + 1] == process then mine[#mine + 1] = live[i] end
  end
  return mine
end

-- whether a lease that ran out counts -> the logs that nobody writes
function commands.orphans()
  local steady, live, orphans = take(), redis.call('HGETALL', prefix .. ':live'), {}
  for i = 1, #live, 2 do
    local stream, process = live[i], live[i + 1]
    if redis.call('EXISTS', log(stream)) == 0 then
      redis.call('HDEL', prefix .. ':live', stream)
    elseif process == '' or (steady == '1' and not isAlive(process)) then
      orphans[#orphans + 1] = stream
    end
  end
  return orphans
end

-- stream, by: ask the producer to stop, at once and with its next beat
function commands.cancel()
  local stream, by = take(), take()
  local found = redis.call('HMGET', log(stream), 'by', 'type')
  if found[1] and found[1] ~= '' and not found[2] then
    redis.call('HSET', log(stream), 'stop', by)
    redis.call('PUBLISH', prefix .. ':to:' .. found[1], cjson.encode({ 'cancel', stream, by }))
  end
end

local function delete(stream, retention)
  local found = redis.call('HMGET', log(stream), 'by', 'owner')
  if not found[2] then return end -- it is not there, or was deleted before
  redis.call('DEL', log(stream), events(stream))
  redis.call('HSET', log(stream), 'deleted', 1)
  redis.call('PEXPIRE', log(stream), retention)
  redis.call('HDEL', prefix .. ':live', stream)
  unlist(stream)
  ring(stream, 'gone')
  if found[1] and found[1] ~= '' then
    redis.call('PUBLISH', prefix .. ':to:' .. found[1], cjson.encode({ 'gone', stream, '' }))
  end
end

-- stream, retention
function commands.delete()
  local stream, retention = take(), take()
  delete(stream, retention)
end

-- retention, most bytes, at most so many -> whether there is more to sweep
function commands.sweep()
  local retention, most, count = take(), takeNumber(), takeNumber()
  local ended, horizon = prefix .. ':ended', now() - tonumber(retention)
  local oldest = redis.call('ZRANGE', ended, 0, count - 1, 'WITHSCORES')
  for i = 1, #oldest, 2 do
    local stream = oldest[i]
    local bytes = tonumber(redis.call('GET', prefix .. ':bytes') or 0)
    if tonumber(oldest[i + 1]) > horizon and bytes <= most then return 0 end
    if redis.call('EXISTS', log(stream)) == 1 then
      delete(stream, retention)
    else -- it went by itself
      unlist(stream)
    end
  end
  return #oldest == 2 * count and 1 or 0
end

return commands[ARGV[1]]()
