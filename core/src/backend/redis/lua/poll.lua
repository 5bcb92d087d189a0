-- poll | KEYS L f q w | ARGV client window then (token ttl)×1..200 | remaining, foreign, then per token {held fence} · {queued rank} · {gone}
local call = redis.call

--@common

local client, window = ARGV[1], tonumber(ARGV[2])
local mine = {}
for i = 3, #ARGV, 2 do mine[ARGV[i]] = true end

local holder = call('GET', L)
-- The first write is one that a server without memory allows; after it the server allows the others,
-- too. A heartbeat refused there would make the living look dead.
call('PEXPIRE', Q, QUEUE_LIFE)
call('PEXPIRE', W, QUEUE_LIFE)
if heard(client) then hear(client, window, 0) end
if holder then
  first_living(8, mine, {})
else
  local granted, _, refusal = walk(mine)
  if refusal then return refusal end
  holder = granted
end

local states = {}
for i = 3, #ARGV, 2 do
  local token, state = ARGV[i], nil
  if token == holder then
    local fence, refusal = keep(token, ARGV[i + 1], '')
    if refusal then return refusal end
    state = {'held', fence}
  elseif call('HEXISTS', W, token) == 1 then
    local rank = call('ZRANK', Q, token)
    if rank then state = {'queued', rank} end
  end
  if not state then
    -- Queue and meta may have been lost one without the other.
    remove({token})
    state = {'gone'}
  end
  states[#states + 1] = state
end
local remaining, foreign = look(holder)
return {remaining, foreign, unpack(states)}
