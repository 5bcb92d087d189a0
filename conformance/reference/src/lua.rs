//! Runs the shipped scripts on a [`Keyspace`], with the Lua that Redis has.

use std::cell::RefCell;
use std::fmt;
use std::mem;
use std::rc::Rc;

use fencelock::model;
use mlua::{Function, Lua, LuaOptions, MultiValue, StdLib, Table, Value as LuaValue};
use redis::Value;

use crate::commands::{self, Reply, error_value};
use crate::keyspace::{Bytes, Keyspace, Published};

/// One Lua state with the scripts in it, compiled. It keeps nothing from one run to the next.
pub struct Scripts {
    lua: Lua,
    compiled: Vec<Compiled>,
    session: Rc<RefCell<Session>>,
}

struct Compiled {
    name: &'static str,
    sha1: &'static str,
    run: Function,
}

/// What Redis calls every script in its errors.
const CHUNK: &str = "@user_script";

/// What a running script works on.
#[derive(Default)]
struct Session {
    keyspace: Keyspace,
    published: Vec<Published>,
    /// It has written.
    dirty: bool,
    /// What it asked for that this fake does not know.
    unsupported: Option<String>,
}

/// An error of `redis.call`, on its way through Lua.
#[derive(Debug)]
struct Raised(String);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

impl fmt::Debug for Scripts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.compiled.iter().map(|script| script.name).collect();
        f.debug_tuple("Scripts").field(&names).finish()
    }
}

impl Default for Scripts {
    fn default() -> Self {
        Self::new()
    }
}

impl Scripts {
    /// The scripts as shipped.
    pub fn new() -> Self {
        let texts = model::scripts().map(|script| (script, script.source.to_owned()));
        Self::compile(&texts)
    }

    /// The scripts with a bug put in on purpose: `change` gets each one's name (such as `acquire`)
    /// and text, and returns the text to be run. They are called by the hashes of those shipped.
    /// Panics if it changes none of them: then there would be no bug.
    pub fn with(change: impl Fn(&str, &str) -> String) -> Self {
        let shipped = model::scripts();
        let texts = shipped.map(|script| (script, change(script.name, script.source)));
        let changed = texts.iter().any(|(script, text)| script.source != text);
        assert!(changed, "no script has what was to be changed");
        Self::compile(&texts)
    }

    fn compile(texts: &[(model::Script, String)]) -> Self {
        let session = Rc::new(RefCell::new(Session::default()));
        let made = prepare(&session).and_then(|lua| {
            let scripts = texts.iter().map(|(script, text)| {
                let run = lua.load(text).set_name(CHUNK).into_function()?;
                Ok(Compiled { name: script.name, sha1: script.sha1, run })
            });
            let compiled = scripts.collect::<mlua::Result<_>>()?;
            Ok((lua, compiled))
        });
        match made {
            Ok((lua, compiled)) => Self { lua, compiled, session },
            Err(error) => panic!("the scripts can't be compiled: {error}"),
        }
    }

    /// EVALSHA, and what was published by it. An error is a reply, too, and what the script wrote
    /// before it stays. Panics at an unknown hash, and if the script uses what this fake lacks.
    pub fn run<K: AsRef<[u8]>, A: AsRef<[u8]>>(
        &self,
        keyspace: &mut Keyspace,
        sha1: &str,
        keys: &[K],
        args: &[A],
    ) -> (Value, Vec<Published>) {
        let Some(script) = self.compiled.iter().find(|script| script.sha1 == sha1) else {
            panic!("no script has the hash {sha1}");
        };
        self.call(keyspace, &script.run, script.name, keys, args)
    }

    /// EVAL: the same for any text, compiled each time.
    pub fn eval<K: AsRef<[u8]>, A: AsRef<[u8]>>(
        &self,
        keyspace: &mut Keyspace,
        text: &str,
        keys: &[K],
        args: &[A],
    ) -> (Value, Vec<Published>) {
        match self.lua.load(text).set_name(CHUNK).into_function() {
            Ok(run) => self.call(keyspace, &run, text, keys, args),
            Err(error) => panic!("the script can't be compiled: {error}"),
        }
    }

    fn call<K: AsRef<[u8]>, A: AsRef<[u8]>>(
        &self,
        keyspace: &mut Keyspace,
        function: &Function,
        name: &str,
        keys: &[K],
        args: &[A],
    ) -> (Value, Vec<Published>) {
        let session = Session { keyspace: mem::take(keyspace), ..Session::default() };
        self.session.replace(session);
        let result = self.set_arguments(keys, args).and_then(|()| function.call(()));
        let reply = result.and_then(|value| read_result(&value));
        let session = self.session.take();
        *keyspace = session.keyspace;
        if let Some(what) = session.unsupported {
            panic!("the script {name} uses what the fake Redis does not know: {what}");
        }
        let reply =
            reply.unwrap_or_else(|error| error_value(&format!("{} script: {name}", said(&error))));
        (reply, session.published)
    }

    fn set_arguments(
        &self,
        keys: &[impl AsRef<[u8]>],
        args: &[impl AsRef<[u8]>],
    ) -> mlua::Result<()> {
        let globals = self.lua.globals();
        globals.raw_set("KEYS", strings(&self.lua, keys)?)?;
        globals.raw_set("ARGV", strings(&self.lua, args)?)
    }
}

fn strings(lua: &Lua, words: &[impl AsRef<[u8]>]) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(words.len(), 0)?;
    for word in words {
        table.raw_push(lua.create_string(word.as_ref())?)?;
    }
    Ok(table)
}

/// What the server would say of a script that failed.
fn said(error: &mlua::Error) -> String {
    match error {
        mlua::Error::CallbackError { cause, .. } => said(cause),
        _ => match error.downcast_ref::<Raised>() {
            Some(raised) => raised.0.clone(),
            None => format!("ERR {error}"),
        },
    }
}

/// A Lua state with what Redis puts into it.
fn prepare(session: &Rc<RefCell<Session>>) -> mlua::Result<Lua> {
    let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH;
    let lua = Lua::new_with(libraries, LuaOptions::default())?;
    let globals = lua.globals();
    let redis = lua.create_table()?;
    let calls = Rc::clone(session);
    let call = move |lua: &Lua, args: MultiValue| match command(&calls, &args)? {
        Reply::Error(message) => Err(mlua::Error::external(Raised(message))),
        reply => to_lua(lua, reply),
    };
    redis.set("call", lua.create_function(call)?)?;
    let protected = Rc::clone(session);
    let pcall = move |lua: &Lua, args: MultiValue| to_lua(lua, command(&protected, &args)?);
    redis.set("pcall", lua.create_function(pcall)?)?;
    let error_reply = |lua: &Lua, message: String| {
        let message = message.strip_prefix('-').unwrap_or(&message);
        let code = if message.contains(' ') { "" } else { "ERR " };
        to_lua(lua, Reply::Error(format!("{code}{message}")))
    };
    redis.set("error_reply", lua.create_function(error_reply)?)?;
    let status_reply = |lua: &Lua, status: mlua::String| {
        let table = lua.create_table()?;
        table.raw_set("ok", status)?;
        Ok(table)
    };
    redis.set("status_reply", lua.create_function(status_reply)?)?;
    let sha1hex = |_: &Lua, text: mlua::String| {
        Ok(sha1_smol::Sha1::from(&text.as_bytes()[..]).digest().to_string())
    };
    redis.set("sha1hex", lua.create_function(sha1hex)?)?;
    globals.set("redis", &redis)?;
    let guard = lua.load(
        "return {
            __newindex = function(_, name)
                error('Script attempted to create global variable ' .. name, 2)
            end,
            __index = function(_, name)
                error('Script attempted to access nonexistent global variable ' .. name, 2)
            end,
        }",
    );
    let guard: Table = guard.eval()?;
    globals.set_metatable(Some(guard.clone()))?;
    redis.set_metatable(Some(guard))?;
    Ok(lua)
}

/// Carries out a command of the running script.
fn command(session: &RefCell<Session>, args: &MultiValue) -> mlua::Result<Reply> {
    let mut words: Vec<Bytes> = Vec::with_capacity(args.len());
    let mut unsupported = None;
    for arg in args {
        match arg {
            LuaValue::String(text) => words.push((&text.as_bytes()[..]).into()),
            LuaValue::Integer(number) => words.push(number.to_string().into_bytes().into()),
            LuaValue::Number(number) if number.fract() == 0.0 && number.abs() < 1e17 => {
                words.push(format!("{number:.0}").into_bytes().into());
            }
            LuaValue::Number(number) => unsupported = Some(format!("the argument {number}")),
            _ => {
                let message = "ERR Lua redis lib command arguments must be strings or integers";
                return Ok(Reply::Error(message.to_owned()));
            }
        }
    }
    let Session { keyspace, published, dirty, unsupported: kept } = &mut *session.borrow_mut();
    let reply = match unsupported {
        None => commands::call_from_script(keyspace, &words, dirty, published),
        Some(what) => Err(what),
    };
    reply.map_err(|what| {
        kept.get_or_insert_with(|| what.clone());
        mlua::Error::runtime(what)
    })
}

/// A reply as a script sees it.
fn to_lua(lua: &Lua, reply: Reply) -> mlua::Result<LuaValue> {
    Ok(match reply {
        Reply::Nil => LuaValue::Boolean(false),
        Reply::Int(number) => LuaValue::Integer(number),
        Reply::Text(text) => LuaValue::String(lua.create_string(&text)?),
        Reply::Status(status) => {
            let table = lua.create_table()?;
            table.raw_set("ok", status)?;
            LuaValue::Table(table)
        }
        Reply::Error(message) => {
            let table = lua.create_table()?;
            table.raw_set("err", message)?;
            LuaValue::Table(table)
        }
        Reply::Array(parts) => {
            let table = lua.create_table_with_capacity(parts.len(), 0)?;
            for part in parts {
                table.raw_push(to_lua(lua, part)?)?;
            }
            LuaValue::Table(table)
        }
    })
}

/// What a script returned, as a client reads it.
fn read_result(value: &LuaValue) -> mlua::Result<Value> {
    Ok(match value {
        LuaValue::String(text) => Value::BulkString(text.as_bytes().to_vec()),
        LuaValue::Integer(number) => Value::Int(*number),
        #[expect(clippy::cast_possible_truncation, reason = "so does the server")]
        LuaValue::Number(number) => Value::Int(*number as i64),
        LuaValue::Boolean(true) => Value::Int(1),
        LuaValue::Table(table) => read_table(table)?,
        // As of anything that is no value of Redis.
        _ => Value::Nil,
    })
}

fn read_table(table: &Table) -> mlua::Result<Value> {
    if let LuaValue::String(message) = table.raw_get("err")? {
        return Ok(error_value(&message.to_string_lossy()));
    }
    if let LuaValue::String(status) = table.raw_get("ok")? {
        let status = status.to_string_lossy();
        return Ok(if status == "OK" { Value::Okay } else { Value::SimpleString(status) });
    }
    let mut parts = Vec::with_capacity(table.raw_len());
    // Up to the first nil.
    for at in 1.. {
        match table.raw_get(at)? {
            LuaValue::Nil => break,
            part => parts.push(read_result(&part)?),
        }
    }
    Ok(Value::Array(parts))
}
