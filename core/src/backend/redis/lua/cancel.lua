-- cancel | KEYS L f q w | ARGV token | 0 nothing · 1 left the queue · 2 was held, passed on
local call = redis.call

--@common

local token = ARGV[1]
local holder = call('GET', L)
local left = remove({token})
local held = holder == token
if held then call('DEL', L) end
-- A lock that is free may have been kept for us, the head, until our next poll.
if held or not holder then hand_on() end
return held and 2 or left
