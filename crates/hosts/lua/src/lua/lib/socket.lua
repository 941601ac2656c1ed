-- socket: the clock of LuaSocket.
return { gettime = ngx.now, sleep = ngx.sleep, url = require("socket.url") }
