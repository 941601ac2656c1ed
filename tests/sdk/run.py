#!/usr/bin/env python3
"""The official SDKs of OpenAI, Anthropic and Google, and LangChain, against a built gateway, in front of a stand-in provider.

    tests/sdk/run.py            needs the Python of target/sdk, which tests/install makes, and a built gateway

Each client talks to a provider of another format: chat, streams, tools, errors, and the faults a provider has on a bad
day. The stand-in answers with documented wire traffic; what it is asked decides which.
"""
import base64, json, os, socket, struct, subprocess, sys, tempfile, threading, time, http.server

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PATIENCE = 60

import anthropic, openai  # noqa: E402
from google import genai  # noqa: E402
from google.genai import errors as genai_errors  # noqa: E402
from langchain_anthropic import ChatAnthropic  # noqa: E402
from langchain_openai import ChatOpenAI, OpenAIEmbeddings  # noqa: E402


# ---------------------------------------------------------------- the stand-in

OPENAI = {"id": "c1", "object": "chat.completion", "created": 1700000000, "model": "gpt-x",
          "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello there"}, "finish_reason": "stop"}],
          "usage": {"prompt_tokens": 11, "completion_tokens": 6, "total_tokens": 17}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\": \"Oslo\"}"}}
ANTHROPIC = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": [{"type": "text", "text": "Hello there"}],
             "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 11, "output_tokens": 6}}


def openai_chunk(delta, finish=None, usage=None):
    chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1700000000, "model": "gpt-x",
             "choices": [] if usage else [{"index": 0, "delta": delta, "finish_reason": finish}]}
    if usage:
        chunk["usage"] = OPENAI["usage"]
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def openai_stream(tools):
    yield openai_chunk({"role": "assistant", "content": ""})
    if tools:
        yield openai_chunk({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}]})
        for piece in ('{"city"', ': "Oslo"}'):
            yield openai_chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
        yield openai_chunk({}, "tool_calls")
    else:
        for word in ("Hello", " there"):
            yield openai_chunk({"content": word})
        yield openai_chunk({}, "stop")
    yield openai_chunk({}, usage=True)
    yield b"data: [DONE]\n\n"


def anthropic_stream(_tools):
    def event(o):
        return b"event: " + o["type"].encode() + b"\ndata: " + json.dumps(o).encode() + b"\n\n"
    yield event({"type": "message_start", "message": dict(ANTHROPIC, content=[], stop_reason=None, usage={"input_tokens": 11, "output_tokens": 1})})
    yield event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
    yield event({"type": "ping"})
    for word in ("Hello", " there"):
        yield event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}})
    yield event({"type": "content_block_stop", "index": 0})
    yield event({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 6}})
    yield event({"type": "message_stop"})


class Provider(http.server.BaseHTTPRequestHandler):
    """`/FORMAT/FAULT`: what it speaks, and what goes wrong."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in (("Content-Type", "application/json"), ("Content-Length", str(len(body))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        _, form, fault = self.path.split("?")[0].split("/")[:3]
        error = {"openai": {"error": {"message": "bad day", "type": "x", "param": None, "code": None}},
                 "anthropic": {"type": "error", "error": {"type": "overloaded_error", "message": "bad day"}}}[form]
        if fault.isdigit():
            return self.answer(int(fault), json.dumps(error).encode(), [("Retry-After", "1")])
        if fault == "embeddings":
            texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
            vector = [0.5, -0.25] + [0.0] * 14
            if body.get("encoding_format") == "base64":
                vector = base64.b64encode(struct.pack("<16f", *vector)).decode()
            data = [{"object": "embedding", "index": n, "embedding": vector} for n in range(len(texts))]
            return self.answer(200, json.dumps({"object": "list", "data": data, "model": "e", "usage": {"prompt_tokens": 2, "total_tokens": 2}}).encode())
        if fault == "garbage":
            return self.answer(200, b"{not json")
        tools = bool(body.get("tools"))
        if not body.get("stream"):
            whole = json.loads(json.dumps(OPENAI if form == "openai" else ANTHROPIC))
            if tools and form == "openai":
                whole["choices"][0] = {"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": [CALL]}, "finish_reason": "tool_calls"}
            if fault == "huge":
                whole["choices"][0]["message"]["content"] = "x" * 10_000_000
            return self.answer(200, json.dumps(whole).encode())
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if fault == "slow":
            time.sleep(1)
        for number, piece in enumerate((openai_stream if form == "openai" else anthropic_stream)(tools)):
            if fault == "cut" and number == 3:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            # Two bytes, then the rest: frames are cut anywhere.
            for part in (piece[:2], piece[2:]):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")


# ---------------------------------------------------------------- the gateway

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def route(path, config):
    return {"name": path.strip("/").replace("/", "-"), "paths": [path], "plugins": [{"name": "ai-proxy", "config": config}]}


class Gateway:
    def __init__(self, provider):
        self.port, self.folder = free_port(), tempfile.mkdtemp(prefix="sdk-gateway-")
        routes = []
        for form in ("openai", "anthropic", "gemini"):
            for upstream in ("openai", "anthropic"):
                for fault in ("fine", "429", "529", "garbage", "cut", "slow", "huge"):
                    options = {"upstream_url": f"http://127.0.0.1:{provider}/{upstream}/{fault}"}
                    if upstream == "anthropic":
                        options["anthropic_version"] = "2023-06-01"
                    config = {"route_type": "llm/v1/chat", "llm_format": form, "auth": {"header_name": "x-key", "header_value": "k"},
                              "model": {"provider": upstream, "options": options}}
                    routes.append(route(f"/{form}/{upstream}/{fault}", config))
            named = {"provider": "openai", "name": "fast", "options": {"upstream_url": f"http://127.0.0.1:{provider}/openai/fine"}}
            routes.append(route(f"/{form}/openai/named", {"route_type": "llm/v1/chat", "llm_format": form, "model": named}))
        embedding = {"provider": "openai", "options": {"upstream_url": f"http://127.0.0.1:{provider}/openai/embeddings"}}
        routes.append(route("/openai/openai/embeddings", {"route_type": "llm/v1/embeddings", "genai_category": "text/embeddings", "model": embedding}))
        text = json.dumps({"_format_version": "3.0", "services": [{"name": "llm", "url": "http://127.0.0.1:1", "routes": routes}]})
        with open(os.path.join(self.folder, "config.json"), "w") as f:
            f.write(text)
        env = {k: v for k, v in os.environ.items() if not k.startswith(("KONG_", "GIBBON_"))}
        env.update(KONG_PREFIX=self.folder, KONG_DATABASE="off", KONG_DECLARATIVE_CONFIG=os.path.join(self.folder, "config.json"),
                   KONG_PROXY_LISTEN=f"127.0.0.1:{self.port}", KONG_ADMIN_LISTEN="off", KONG_STATUS_LISTEN="off", KONG_NGINX_WORKER_PROCESSES="2")
        binary = os.environ.get("GIBBON_BIN", os.path.join(ROOT, "target/debug/gibbon"))
        self.process = subprocess.Popen([binary, "run"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        sys.exit("the gateway does not listen")

    def url(self, form, upstream, fault="fine"):
        return f"http://127.0.0.1:{self.port}/{form}/{upstream}/{fault}"

    def stop(self):
        self.process.terminate()
        self.process.wait(PATIENCE)


# ---------------------------------------------------------------- the tests

WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def openai_client(gateway, *where):
    return openai.OpenAI(base_url=gateway.url("openai", *where), api_key="client", max_retries=0, timeout=PATIENCE)


def anthropic_client(gateway, *where):
    return anthropic.Anthropic(base_url=gateway.url("anthropic", *where), api_key="client", max_retries=0, timeout=PATIENCE)


OPEN = []


def google_client(gateway, *where):
    # Kept: a client that nobody holds closes itself.
    OPEN.append(genai.Client(api_key="client", http_options={"base_url": gateway.url("gemini", *where)}))
    return OPEN[-1]


HI = [{"role": "user", "content": "Hi"}]


def test_openai_chats_and_streams_with_both(gateway):
    for upstream in ("openai", "anthropic"):
        chat = openai_client(gateway, upstream).chat.completions
        whole = chat.create(model="m", messages=HI)
        assert (whole.choices[0].message.content, whole.usage.total_tokens, whole.choices[0].finish_reason) == ("Hello there", 17, "stop"), whole
        pieces = list(chat.create(model="m", messages=HI, stream=True, stream_options={"include_usage": True}))
        assert "".join(c.choices[0].delta.content or "" for c in pieces if c.choices) == "Hello there"
        assert pieces[-1].usage.total_tokens == 17, pieces[-1]
        plain = list(chat.create(model="m", messages=HI, stream=True))
        assert all(c.choices and not c.usage for c in plain), plain[-1]


def test_anthropic_chats_streams_and_calls_tools_with_both(gateway):
    for upstream in ("openai", "anthropic"):
        messages = anthropic_client(gateway, upstream).messages
        whole = messages.create(model="m", max_tokens=9, messages=HI)
        assert (whole.content[0].text, whole.stop_reason, whole.usage.output_tokens) == ("Hello there", "end_turn", 6), whole
        with messages.stream(model="m", max_tokens=9, messages=HI) as stream:
            assert "".join(stream.text_stream) == "Hello there"
            assert stream.get_final_message().usage.output_tokens == 6
    tools = [{"name": "weather", "input_schema": WEATHER}]
    messages = anthropic_client(gateway, "openai").messages
    whole = messages.create(model="m", max_tokens=9, messages=HI, tools=tools)
    assert (whole.stop_reason, whole.content[0].name, whole.content[0].input) == ("tool_use", "weather", {"city": "Oslo"}), whole
    with messages.stream(model="m", max_tokens=9, messages=HI, tools=tools) as stream:
        final = stream.get_final_message()
    assert final.content[0].input == {"city": "Oslo"}, final


def test_google_chats_streams_and_calls_tools_with_both(gateway):
    for upstream in ("openai", "anthropic"):
        models = google_client(gateway, upstream).models
        whole = models.generate_content(model="m", contents="Hi")
        assert (whole.text, whole.usage_metadata.total_token_count) == ("Hello there", 17), whole
        assert "".join(c.text or "" for c in models.generate_content_stream(model="m", contents="Hi")) == "Hello there"
    tool = genai.types.Tool(function_declarations=[{"name": "weather", "parameters_json_schema": WEATHER}])
    config = genai.types.GenerateContentConfig(tools=[tool])
    whole = google_client(gateway, "openai").models.generate_content(model="m", contents="Hi", config=config)
    assert dict(whole.function_calls[0].args) == {"city": "Oslo"}, whole


def test_langchain_chats_streams_and_calls_tools_with_both(gateway):
    for upstream in ("openai", "anthropic"):
        for model in (ChatOpenAI(model="m", base_url=gateway.url("openai", upstream), api_key="client", max_retries=0, timeout=PATIENCE),
                      ChatAnthropic(model="m", base_url=gateway.url("anthropic", upstream), api_key="client", max_retries=0, timeout=PATIENCE, max_tokens=9)):
            whole = model.invoke("Hi")
            assert (text_of(whole), whole.usage_metadata["total_tokens"]) == ("Hello there", 17), whole
            assert "".join(text_of(piece) for piece in model.stream("Hi")) == "Hello there"
            if upstream == "openai":
                bound = model.bind_tools([{"name": "weather", "description": "The weather.", "parameters": WEATHER}])
                for answer in (bound.invoke("Hi"), sum_of(bound.stream("Hi"))):
                    assert [(c["name"], c["args"]) for c in answer.tool_calls] == [("weather", {"city": "Oslo"})], answer


def text_of(message):
    parts = message.content if isinstance(message.content, list) else [message.content]
    return "".join(p if isinstance(p, str) else p.get("text", "") for p in parts)


def sum_of(pieces):
    whole = None
    for piece in pieces:
        whole = piece if whole is None else whole + piece
    return whole


def test_openai_and_langchain_embed(gateway):
    url = gateway.url("openai", "openai", "embeddings")
    answer = openai.OpenAI(base_url=url, api_key="client", max_retries=0).embeddings.create(model="m", input=["a", "b"])
    assert ([d.embedding[:2] for d in answer.data], answer.usage.total_tokens) == ([[0.5, -0.25], [0.5, -0.25]], 2), answer
    vectors = OpenAIEmbeddings(model="m", base_url=url, api_key="client", max_retries=0, check_embedding_ctx_length=False).embed_documents(["a", "b"])
    assert [v[:2] for v in vectors] == [[0.5, -0.25], [0.5, -0.25]], vectors


def test_models_are_listed_in_every_format(gateway):
    assert [m.id for m in openai_client(gateway, "openai", "named").models.list()] == ["fast"]
    assert [m.id for m in anthropic_client(gateway, "openai", "named").models.list()] == ["fast"]
    assert [m.name for m in google_client(gateway, "openai", "named").models.list()] == ["models/fast"]


def test_errors_are_the_clients_own(gateway):
    for upstream in ("openai", "anthropic"):
        for status, kind in (("429", openai.RateLimitError), ("529", openai.InternalServerError), ("garbage", openai.InternalServerError)):
            raises(kind, lambda: openai_client(gateway, upstream, status).chat.completions.create(model="m", messages=HI))
        for status, kind in (("429", anthropic.RateLimitError), ("529", anthropic.APIStatusError), ("garbage", anthropic.InternalServerError)):
            raises(kind, lambda: anthropic_client(gateway, upstream, status).messages.create(model="m", max_tokens=9, messages=HI))
        raises(genai_errors.APIError, lambda: google_client(gateway, upstream, "429").models.generate_content(model="m", contents="Hi"))
    error = raises(openai.RateLimitError, lambda: openai_client(gateway, "anthropic", "429").chat.completions.create(model="m", messages=HI))
    assert error.response.headers["retry-after"] == "1" and "bad day" in str(error), error


def test_a_stream_that_breaks_is_an_error_and_no_end(gateway):
    for upstream in ("openai", "anthropic"):
        raises((openai.APIError, Exception), lambda: list(openai_client(gateway, upstream, "cut").chat.completions.create(model="m", messages=HI, stream=True)))

        def read():
            with anthropic_client(gateway, upstream, "cut").messages.stream(model="m", max_tokens=9, messages=HI) as stream:
                stream.get_final_message()
        raises(anthropic.APIError, read)


def test_slow_and_huge_answers_arrive(gateway):
    pieces = openai_client(gateway, "anthropic", "slow").chat.completions.create(model="m", messages=HI, stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in pieces if c.choices) == "Hello there"
    whole = anthropic_client(gateway, "openai", "huge").messages.create(model="m", max_tokens=9, messages=HI)
    assert len(whole.content[0].text) == 10_000_000


def raises(kind, work):
    try:
        result = work()
    except kind as e:
        return e
    raise AssertionError(f"no error, but {str(result)[:200]}")


def main():
    provider = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    provider.daemon_threads = True
    threading.Thread(target=provider.serve_forever, daemon=True).start()
    gateway, failed = Gateway(provider.server_address[1]), 0
    try:
        for name, test in [(n, t) for n, t in globals().items() if n.startswith("test_")]:
            try:
                test(gateway)
                print("ok    ", name)
            except Exception as e:  # whatever a client's library raises
                failed += 1
                print("FAILED", name, "\n   ", type(e).__name__, str(e)[:600])
    finally:
        gateway.stop()
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
