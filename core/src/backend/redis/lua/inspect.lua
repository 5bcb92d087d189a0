-- inspect | KEYS L f q w | ARGV none | {holder's hash or '', foreign(0,1), fence or '', ttl or 0, remaining, label or '', waiters}
local call = redis.call

--@common

local holder, waiters = call('GET', L), call('ZCARD', Q)
if not holder then return {'', 0, '', 0, -2, '', waiters} end
local last = last_grant()
if not last or last.token ~= holder then last = {fence = '', ttl = 0, label = ''} end
local hash = string.sub(redis.sha1hex(holder), 1, 8)
local foreign = string.sub(holder, 1, 4) == 'fl1-' and 0 or 1
return {hash, foreign, last.fence, last.ttl, call('PTTL', L), last.label, waiters}
