-- What the scripts share; put in at their line `--@common` (scripts.rs). Expects `local call = redis.call`.
local L, F, Q, W = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local WALK_LIMIT, QUEUE_LIMIT, QUEUE_LIFE = 1000, 10000, 120000
local FENCE_LIFE, FENCE_LIMIT = 604800000, 9007199254740991
-- How a waiter is told, by the mode in its meta; any other mode fetches the lock by polling.
local PUSH = {P = {'PUBLISH', 'NUMSUB'}, S = {'SPUBLISH', 'SHARDNUMSUB'}}

local time = call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)

-- The record of the last grant; nil if there is none that can be read.
local function last_grant()
  local record = redis.pcall('GET', F)
  if type(record) ~= 'string' then return nil end
  local fence, ttl, token, label = string.match(record, '^(%d+) (%d+) (%S+) ?(.*)')
  return fence and {fence = fence, ttl = tonumber(ttl), token = token, label = label}
end

-- A fence ahead of the clock is remembered until the clock has caught up, and then as long as any.
local function record_grant(fence, ttl, token, label)
  local ahead = math.max(0, math.ceil(fence / 1000 - now))
  call('SET', F, fence .. ' ' .. ttl .. ' ' .. token .. ' ' .. label, 'PX', FENCE_LIFE + ahead)
end

-- The next fence, or nil and an error.
local function mint()
  local last = last_grant()
  local fence = math.max((last and tonumber(last.fence) or 0) + 1, now_us)
  if fence > FENCE_LIMIT then
    return nil, redis.error_reply('FENCELIMIT fences have reached 2^53; nothing was granted')
  end
  -- Concatenation would print 14 digits.
  return string.format('%.0f', fence)
end

-- Grants the free lock: the fence, or nil and an error.
local function take(token, ttl, label)
  local fence, refusal = mint()
  if refusal then return nil, refusal end
  record_grant(fence, ttl, token, label)
  call('SET', L, token, 'PX', ttl)
  return fence
end

-- The holder's remaining time, and whether it is foreign. A remainder above what we ever set means
-- that the clock stepped back: cut it. What others set is theirs.
local function look(holder)
  if not holder then return -2, 0 end
  local remaining, last = call('PTTL', L), last_grant()
  if last and last.token == holder and (remaining > last.ttl or remaining == -1) then
    call('PEXPIRE', L, last.ttl)
    remaining = last.ttl
  end
  return remaining, string.sub(holder, 1, 4) == 'fl1-' and 0 or 1
end

-- A client's deadline and its number of waiters in this queue, if it has any.
local function heard(client)
  local deadline, count = string.match(call('HGET', W, '@' .. client) or '', '^(%d+) (%d+)$')
  return tonumber(deadline), tonumber(count)
end

local function note_client(client, deadline, count)
  call('HSET', W, '@' .. client, deadline .. ' ' .. count)
end

-- A heartbeat, never for less than an earlier one promised.
local function hear(client, window, joined)
  local deadline, count = heard(client)
  note_client(client, math.max(deadline or 0, now + window), (count or 0) + joined)
end

-- Takes tokens out of queue and meta, and clients that wait for nothing more with them. Returns
-- how many stood in the queue. ZREM comes first: see poll.lua on writes without memory.
local function remove(tokens)
  local stood = call('ZREM', Q, unpack(tokens))
  local left = {}
  for _, meta in ipairs(call('HMGET', W, unpack(tokens))) do
    local client = meta and string.match(meta, '^%S+')
    if client then left[client] = (left[client] or 0) + 1 end
  end
  call('HDEL', W, unpack(tokens))
  for client, n in pairs(left) do
    local deadline, count = heard(client)
    if deadline and count > n then
      note_client(client, deadline, count - n)
    else
      call('HDEL', W, '@' .. client)
    end
  end
  return stood
end

-- A channel needs the queue's slot in mode S; every side key's first braces hold its tag.
local function channel(client, mode)
  if mode == 'S' then return 'fl:c:' .. client .. ':' .. string.match(Q, '{.-}') end
  return 'fl:c:' .. client
end

-- Does the client still listen? `verdicts` remembers, so that each client is asked about once.
local function lives(client, mode, verdicts)
  local key = mode .. client
  if verdicts[key] == nil then
    local deadline, count = heard(client)
    local alive = deadline ~= nil and deadline >= now
    -- No heartbeat promises more than 30 s: the clock stepped back.
    if alive and deadline > now + 60000 then note_client(client, now + 30000, count) end
    -- PUBLISH's count would include listeners by pattern.
    if alive and PUSH[mode] then
      alive = call('PUBSUB', PUSH[mode][2], channel(client, mode))[2] > 0
    end
    verdicts[key] = alive
  end
  return verdicts[key]
end

-- The first waiter that lives, after removing up to `limit` dead ones before it, and their number.
-- A token in `mine` is the caller's, who lives.
local function first_living(limit, mine, verdicts)
  local dead, found, full, size = {}, nil, false, 1
  repeat
    local tokens = call('ZRANGE', Q, #dead, #dead + size - 1)
    if #tokens == 0 then break end
    local metas = call('HMGET', W, unpack(tokens))
    for i, token in ipairs(tokens) do
      local client, ttl, mode, label = string.match(metas[i] or '', '^(%S+) (%d+) (%S+) ?(.*)')
      if client and (mine[token] or lives(client, mode, verdicts)) then
        found = {token = token, client = client, ttl = ttl, mode = mode, label = label}
        break
      end
      full = #dead == limit
      if full then break end
      dead[#dead + 1] = token
    end
    size = 100
  until found or full
  if #dead > 0 then remove(dead) end
  return found, #dead
end

local function tell(waiter, fence)
  local message = 'G ' .. waiter.token .. ' ' .. fence .. ' ' .. waiter.ttl .. ' ' .. L
  local told = redis.pcall(PUSH[waiter.mode][1], channel(waiter.client, waiter.mode), message)
  return type(told) == 'number' and told > 0
end

-- Grants the free lock to the first waiter that lives: its token and fence, or nil, or nil, nil and
-- an error. Whoever is in `mine` learns it by the reply. A head that fetches the lock itself ends
-- the walk, the lock stays free for it.
local function walk(mine)
  local verdicts, left = {}, WALK_LIMIT
  while left > 0 do
    local head, removed = first_living(left, mine, verdicts)
    if not head or not (PUSH[head.mode] or mine[head.token]) then return nil end
    local fence, refusal = take(head.token, head.ttl, head.label)
    if refusal then return nil, nil, refusal end
    remove({head.token})
    if mine[head.token] or tell(head, fence) then return head.token, fence end
    call('DEL', L)
    left = left - removed - 1
  end
end

-- The walk of those who give the lock up: whatever fails, it does not stay held.
local function hand_on()
  local ran, granted = pcall(walk, {})
  if not ran then call('DEL', L) end
  return ran and granted
end

-- Confirms a holder: the fence of its grant, or nil and an error if that is lost and there is no
-- other. Its lease is full again, unless a longer one is in force.
local function keep(token, ttl, label)
  ttl = tonumber(ttl)
  local remaining, last = look(token), last_grant()
  local fence = last and last.token == token and last.fence
  if not fence then
    local refusal
    fence, refusal = mint()
    if refusal then return nil, refusal end
    record_grant(fence, ttl, token, label)
  elseif remaining < ttl and last.ttl ~= ttl then
    record_grant(fence, ttl, token, last.label)
  end
  if remaining < ttl then call('PEXPIRE', L, ttl) end
  remove({token})
  return fence
end

-- Stands in the queue: the ticket, or nil if the queue is full.
local function join(token, ttl, label, client, mode, window, ticket)
  first_living(8, {[token] = true}, {})
  local waiting = call('ZCARD', Q)
  if waiting >= QUEUE_LIMIT and not call('ZSCORE', Q, token) then return nil end
  if ticket == 0 then ticket = (call('ZRANGE', Q, -1, -1, 'WITHSCORES')[2] or 0) + 1 end
  if call('ZADD', Q, 'NX', ticket, token) == 0 then ticket = tonumber(call('ZSCORE', Q, token)) end
  -- What an evicted queue left behind would be counted for ever.
  if waiting == 0 then call('DEL', W) end
  local joined = call('HSET', W, token, client .. ' ' .. ttl .. ' ' .. mode .. ' ' .. label)
  hear(client, window, joined)
  call('PEXPIRE', Q, QUEUE_LIFE)
  call('PEXPIRE', W, QUEUE_LIFE)
  return ticket
end
