-- release | KEYS L f q w | ARGV token | 0 not held · 1 freed · 2 handed on
local call = redis.call
if call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
-- First, so that whatever fails below can't leave it held, and because a server without memory
-- allows this and, after it, a grant.
call('DEL', KEYS[1])
if call('EXISTS', KEYS[3]) == 0 then return 1 end

--@common

return hand_on() and 2 or 1
