package meter

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Recordings, as the vendors' pages show them and fakes stream them.
const (
	anthropicStream = `event: message_start
data: {"type":"message_start","message":{"id":"msg_01","type":"message","role":"assistant","model":"claude-sonnet-5","content":[],"stop_reason":null,"usage":{"input_tokens":25,"cache_creation_input_tokens":1200,"cache_read_input_tokens":40000,"cache_creation":{"ephemeral_5m_input_tokens":1200,"ephemeral_1h_input_tokens":0},"output_tokens":1,"service_tier":"standard"}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: ping
data: {"type": "ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"{\"usage\":{\"output_tokens\":999999}} \\"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":15}}

event: message_stop
data: {"type":"message_stop"}

`
	anthropicJSON = `{"id":"msg_01","type":"message","content":[{"type":"tool_use","input":{"usage":{"output_tokens":77},"message":{"usage":{"input_tokens":9}}}}],
 "usage":{"input_tokens":2095,"output_tokens":503,"cache_read_input_tokens":null}}`
	responsesStream = `event: response.created
data: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1","status":"in_progress","usage":null,"tools":[]}}

event: response.output_text.delta
data: {"type":"response.output_text.delta","delta":"Hi","usage":"none"}

event: response.%[1]s
data: {"type":"response.%[1]s","response":{"id":"resp_1","status":"%[1]s","output":[{"content":[{"text":"Hi"}]}],"usage":{"input_tokens":37,"input_tokens_details":{"cached_tokens":16},"output_tokens":11,"output_tokens_details":{"reasoning_tokens":8},"total_tokens":48}}}

`
	chatStream = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Hi"}}],"usage":null}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":8,"cache_write_tokens":4},"completion_tokens_details":{"reasoning_tokens":0}}}

data: [DONE]

`
	geminiStream = `data: {"candidates": [{"content": {"parts": [{"text": "One"}]}}],"usageMetadata": {"promptTokenCount": 400,"candidatesTokenCount": 3,"totalTokenCount": 403},"modelVersion": "gemini-2.5-pro"}

data: {"candidates": [{"content": {"parts": [{"text": " two"}]},"finishReason": "STOP"}],"usageMetadata": {"promptTokenCount": 400,"cachedContentTokenCount": 128,"candidatesTokenCount": 7,"toolUsePromptTokenCount": 30,"thoughtsTokenCount": 90,"totalTokenCount": 527,"promptTokensDetails": [{"modality": "TEXT","tokenCount": 400}]}}

`
)

// before is what a text has before a mark, as when a connection breaks there.
func before(text, mark string) string {
	part, _, _ := strings.Cut(text, mark)
	return part
}

// geminiArray is a stream of Gemini as it comes without alt=sse.
func geminiArray() string {
	var objects []string
	for line := range strings.Lines(geminiStream) {
		if object, ok := strings.CutPrefix(line, "data: "); ok {
			objects = append(objects, object)
		}
	}
	return "[" + strings.Join(objects, "\n,\r\n") + "]"
}

const sse, plainJSON = "text/event-stream; charset=utf-8", "application/json"

func TestUsage(t *testing.T) {
	tests := map[string]struct {
		format Format
		kind   string
		body   string
		want   Usage
	}{
		"Anthropic, a stream":               {AnthropicMessages, sse, anthropicStream, Usage{Input: 41225, Output: 15, CacheRead: 40000, CacheWrite: 1200, Known: true}},
		"Anthropic, a stream with CRLF":     {AnthropicMessages, sse, strings.ReplaceAll(anthropicStream, "\n", "\r\n"), Usage{Input: 41225, Output: 15, CacheRead: 40000, CacheWrite: 1200, Known: true}},
		"Anthropic, a stream with CR":       {AnthropicMessages, sse, strings.ReplaceAll(anthropicStream, "\n", "\r"), Usage{Input: 41225, Output: 15, CacheRead: 40000, CacheWrite: 1200, Known: true}},
		"Anthropic, a stream of no type":    {AnthropicMessages, "", anthropicStream, Usage{Input: 41225, Output: 15, CacheRead: 40000, CacheWrite: 1200, Known: true}},
		"Anthropic, cut after the start":    {AnthropicMessages, sse, before(anthropicStream, "event: ping"), Usage{Input: 41225, Output: 1, CacheRead: 40000, CacheWrite: 1200, Known: true}},
		"Anthropic, cut within the end":     {AnthropicMessages, sse, anthropicStream[:strings.Index(anthropicStream, `:15}}`)+3], Usage{Input: 41225, Output: 1, CacheRead: 40000, CacheWrite: 1200, Known: true}},
		"Anthropic, numbers at the end too": {AnthropicMessages, sse, strings.Replace(anthropicStream, `{"output_tokens":15}`, `{"input_tokens":525,"cache_read_input_tokens":40000,"output_tokens":15}`, 1), Usage{Input: 41725, Output: 15, CacheRead: 40000, CacheWrite: 1200, Known: true}},
		"Anthropic, JSON":                   {AnthropicMessages, plainJSON, anthropicJSON, Usage{Input: 2095, Output: 503, Known: true}},
		"Anthropic, a count, which is free": {AnthropicMessages, plainJSON, `{"input_tokens":14}`, Usage{}},
		"Anthropic, an error":               {AnthropicMessages, plainJSON, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, Usage{}},
		"Responses, completed":              {OpenAI, sse, fmt.Sprintf(responsesStream, "completed"), Usage{Input: 37, Output: 11, CacheRead: 16, Known: true}},
		"Responses, incomplete":             {OpenAI, sse, fmt.Sprintf(responsesStream, "incomplete"), Usage{Input: 37, Output: 11, CacheRead: 16, Known: true}},
		"Responses, failed":                 {OpenAI, sse, fmt.Sprintf(responsesStream, "failed"), Usage{Input: 37, Output: 11, CacheRead: 16, Known: true}},
		"Responses, JSON":                   {OpenAI, plainJSON, `{"id":"resp_1","object":"response","usage":{"input_tokens":1,"output_tokens":2}}`, Usage{Input: 1, Output: 2, Known: true}},
		"Responses, cut":                    {OpenAI, sse, before(responsesStream, `event: response.%`), Usage{}},
		"Chat Completions, a stream":        {OpenAI, sse, chatStream, Usage{Input: 19, Output: 10, CacheRead: 8, CacheWrite: 4, Known: true}},
		"Chat Completions, JSON":            {OpenAI, plainJSON, `{"choices":[{"message":{"usage":{"prompt_tokens":5}}}],"usage":{"prompt_tokens":9,"completion_tokens":12}}`, Usage{Input: 9, Output: 12, Known: true}},
		"Embeddings":                        {OpenAI, plainJSON, `{"data":[{"embedding":[0.1,-2e3]}],"usage":{"prompt_tokens":8,"total_tokens":8}}`, Usage{Input: 8, Known: true}},
		"Gemini, a stream":                  {Gemini, sse, geminiStream, Usage{Input: 430, Output: 97, CacheRead: 128, Known: true}},
		"Gemini, a stream that was cut":     {Gemini, sse, before(geminiStream, `" two`), Usage{Input: 400, Output: 3, Known: true}},
		"Gemini, an array":                  {Gemini, plainJSON, geminiArray(), Usage{Input: 430, Output: 97, CacheRead: 128, Known: true}},
		"Gemini, an array that was cut":     {Gemini, plainJSON, before(geminiArray(), `" two`), Usage{Input: 400, Output: 3, Known: true}},
		"no format":                         {"", sse, anthropicStream, Usage{}},
		"the format of another":             {Gemini, sse, anthropicStream, Usage{}},
		"nothing":                           {OpenAI, plainJSON, "", Usage{}},
		"numbers below zero":                {OpenAI, plainJSON, `{"usage":{"prompt_tokens":-5,"completion_tokens":-0.5}}`, Usage{Known: true}},
		"numbers beyond all bounds":         {OpenAI, plainJSON, `{"usage":{"prompt_tokens":9223372036854775808,"completion_tokens":1e999}}`, Usage{Input: most, Output: most, Known: true}},
		"numbers far below zero":            {OpenAI, plainJSON, `{"usage":{"prompt_tokens":-9223372036854775809,"completion_tokens":-1e999}}`, Usage{Known: true}},
		"numbers with a fraction":           {OpenAI, plainJSON, `{"usage":{"prompt_tokens":12.0,"completion_tokens":1.5e1}}`, Usage{Input: 12, Output: 15, Known: true}},
		"no numbers":                        {OpenAI, plainJSON, `{"usage":{"prompt_tokens":"12","completion_tokens":[1],"prompt_tokens_details":"x","input_tokens_details":[]}}`, Usage{Known: true}},
		"more cached than there was":        {OpenAI, plainJSON, `{"usage":{"prompt_tokens":10,"prompt_tokens_details":{"cached_tokens":99,"cache_write_tokens":9}}}`, Usage{Input: 10, CacheRead: 10, Known: true}},
		"numbers that go down":              {Gemini, sse, "data: {\"usageMetadata\":{\"promptTokenCount\":9}}\n\ndata: {\"usageMetadata\":{\"promptTokenCount\":3}}\n\n", Usage{Input: 9, Known: true}},
		"usage that is no JSON":             {OpenAI, plainJSON, `{"usage":{"prompt_tokens":1 2}}`, Usage{Skipped: 1}},
		"usage too long to be read":         {OpenAI, plainJSON, `{"usage":{"prompt_tokens":1,"x":"` + strings.Repeat("y", maxObject) + `"},"usage":{"prompt_tokens":2}}`, Usage{Input: 2, Known: true, Skipped: 1}},
		"usage behind 1 MiB in one line":    {OpenAI, sse, `data: {"choices":["` + strings.Repeat(`x\" `, 1<<18) + `"],"usage":{"prompt_tokens":2}}` + "\n\n", Usage{Input: 2, Known: true}},
		"usage behind a very deep text":     {OpenAI, plainJSON, `{"x":` + strings.Repeat(`[{"usage":`, 1e4) + "1" + strings.Repeat(`}]`, 1e4) + `,"usage":{"prompt_tokens":2}}`, Usage{Input: 2, Known: true}},
		"usage that is a list":              {OpenAI, plainJSON, `{"usage":[{"prompt_tokens":2}]}`, Usage{}},
		"usage elsewhere":                   {OpenAI, plainJSON, `{"x":{"usage":{"prompt_tokens":2}},"response":[{"usage":{"prompt_tokens":2}}]}`, Usage{}},
		"data over two lines":               {OpenAI, sse, "data: {\"usage\":\ndata: {\"prompt_tokens\":2}}\n\n", Usage{Input: 2, Known: true}},
		"a broken event spoils no other":    {OpenAI, sse, "data: {\"a\":[\"\n\ndata:{\"usage\":{\"prompt_tokens\":2}}\n\n", Usage{Input: 2, Known: true}},
		"comments and other fields":         {OpenAI, sse, ": \"{\nid: {\"usage\":{\"prompt_tokens\":3}}\ndatum: {\ndata\nretry: 3\ndata: {\"usage\":{\"prompt_tokens\":2}}\n\n", Usage{Input: 2, Known: true}},
		"several texts, a line each":        {OpenAI, "application/x-ndjson", "{\"usage\":null}\n{\"usage\":{\"prompt_tokens\":2}}\n", Usage{Input: 2, Known: true}},
		"more closed than was open":         {OpenAI, plainJSON, `}]}]{"usage":{"prompt_tokens":2}}`, Usage{Input: 2, Known: true}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1, 2, 3, 7, 64, 4096, len(tt.body) + 1} {
				m := New(tt.format, tt.kind)
				write(t, m, tt.body, func() int { return size })
				if diff := cmp.Diff(tt.want, m.Usage()); diff != "" {
					t.Fatalf("pieces of %d: %s", size, diff)
				}
			}
		})
	}
}

// write gives a body to a Meter in pieces.
func write(t testing.TB, m *Meter, body string, size func() int) {
	t.Helper()
	for body != "" {
		n := min(size(), len(body))
		if wrote, err := m.Write([]byte(body[:n])); wrote != n || err != nil {
			t.Fatalf("took %d of %d: %v", wrote, n, err)
		}
		body = body[n:]
	}
}

// TestUsageWhileItStreams asks in between, as whoever shows usage of running sessions does.
func TestUsageWhileItStreams(t *testing.T) {
	m := New(AnthropicMessages, sse)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 100 {
			if u := m.Usage(); u.Input != 0 && u.Input != 41225 {
				t.Errorf("got %v", u)
			}
		}
	}()
	_, _ = io.Copy(m, strings.NewReader(anthropicStream))
	<-done
}

// TestLittleIsKept streams a long answer of a hostile provider.
func TestLittleIsKept(t *testing.T) {
	scan := &scanner{path: paths[OpenAI], found: func([]byte) {}, lost: func() {}}
	for _, piece := range []string{`{"`, `{"usage":{"x":"`, "data: [", `\`, `"`, `,"`} {
		ten := []byte(strings.Repeat(piece, 10))
		for range 1 << 14 {
			scan.feed(ten)
		}
		if kept := cap(scan.object) + cap(scan.name); kept > 2*maxObject+maxName*2 {
			t.Errorf("%d bytes are kept of %q", kept, piece)
		}
	}
}

// FuzzWrite holds usage to its bounds whatever comes, and to the same in whatever pieces it comes.
func FuzzWrite(f *testing.F) {
	for _, body := range []string{anthropicStream, anthropicJSON, chatStream, geminiStream, geminiArray(), `{"usage":{"prompt_tokens":1e999}}`, "data: {\r\rdata:{\"usage\":{"} {
		f.Add(body, uint8(0), uint16(3))
		f.Add(body, uint8(5), uint16(1))
	}
	formats := []Format{AnthropicMessages, OpenAI, Gemini}
	f.Fuzz(func(t *testing.T, body string, choice uint8, size uint16) {
		format, kind := formats[int(choice)%3], []string{sse, plainJSON}[int(choice)/3%2]
		whole, pieces := New(format, kind), New(format, kind)
		write(t, whole, body, func() int { return len(body) })
		write(t, pieces, body, func() int { return 1 + int(size) })
		u := whole.Usage()
		if diff := cmp.Diff(u, pieces.Usage()); diff != "" {
			t.Error(diff)
		}
		for _, n := range []int64{u.Input, u.Output, u.CacheRead, u.CacheWrite} {
			if n < 0 || n > 3*most {
				t.Errorf("got %v", u)
			}
		}
		if u.CacheRead+u.CacheWrite > u.Input || !u.Known && u.Input+u.Output > 0 {
			t.Errorf("got %v", u)
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	event := "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"The login redirect loses its query, so\\n \"}}\n\n"
	bodies := map[string]struct {
		kind string
		text []byte
	}{
		"events": {sse, []byte(strings.Repeat(event, 1<<20/len(event)))},
		"JSON":   {plainJSON, []byte(`{"content":[{"text":"` + strings.Repeat(`if a[i] == \"x\" {\n\t`, 1<<20/20) + `"}],"usage":{"output_tokens":5}}`)},
	}
	for name, body := range bodies {
		for _, size := range []int{len(event), 32 << 10} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				b.SetBytes(int64(len(body.text)))
				b.ReportAllocs()
				for b.Loop() {
					m := New(AnthropicMessages, body.kind)
					for p := body.text; len(p) > 0; p = p[min(size, len(p)):] {
						_, _ = m.Write(p[:min(size, len(p))])
					}
				}
			})
		}
	}
}
