-- acquire | KEYS L f q w | ARGV token ttl place [label] | fence · {busy remaining foreign} · {queued rank remaining foreign ticket} · {full}
-- place: none to wait in (''), or 'client mode(P,S,-) window ticket'
local call = redis.call
local token, ttl, label = ARGV[1], ARGV[2], ARGV[4] or ''

--@quick

-- Nobody holds and nobody waits: decided before the shared functions are even defined.
local quick = quick_grant(token, ttl, label, call('TIME'), 'NX')
if quick then
  if call('EXISTS', KEYS[3]) == 0 then return quick end
  call('DEL', KEYS[1])
end
local holder = call('GET', KEYS[1])

--@common

local function held(fence, refusal)
  return refusal or fence
end

if holder == token then return held(keep(token, ttl, label)) end
if not holder then
  local granted, fence, refusal = walk({[token] = true})
  if refusal or granted == token then return held(fence, refusal) end
  -- No barging: a newcomer takes the lock only if nobody is left in the queue.
  if not granted and call('EXISTS', Q) == 0 then return held(take(token, ttl, label)) end
  holder = granted
end

local remaining, foreign = look(holder)
local client, mode, window, ticket = string.match(ARGV[3], '^(%S+) (%S+) (%d+) (%d+)$')
if not client then return {'busy', remaining, foreign} end
ticket = join(token, ttl, label, client, mode, tonumber(window), tonumber(ticket))
if not ticket then return {'full'} end
return {'queued', call('ZRANK', Q, token), remaining, foreign, ticket}
