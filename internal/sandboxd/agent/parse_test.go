package agent

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/failure"
)

// TestParse is what single lines of each format mean; whole conversations are in the recordings.
func TestParse(t *testing.T) {
	openCode, claude, codex := contract.OutputOpenCodeJSON, contract.OutputClaudeStreamJSON, contract.OutputCodexJSON
	tests := map[string]struct {
		output contract.Output
		line   string
		want   []event
	}{
		"OpenCode: text":        {openCode, `{"type":"text","part":{"text":"hi"}}`, []event{{kind: said, text: "hi"}, {kind: ended}}},
		"OpenCode: a tool":      {openCode, `{"type":"tool_use","part":{"tool":"bash","callID":"c","state":{"status":"completed","title":"ls"}}}`, []event{{kind: called, tool: tool{"c", "bash", "ls", "completed"}}}},
		"OpenCode: a bad tool":  {openCode, `{"type":"tool_use","part":{"tool":"edit","callID":"c","state":{"status":"error","input":{"filePath":"a.go"}}}}`, []event{{kind: called, tool: tool{"c", "edit", "a.go", "failed"}}}},
		"OpenCode: a step":      {openCode, `{"type":"step_finish","part":{"tokens":{"input":1,"output":2,"cache":{"read":3,"write":4}}}}`, []event{{kind: finished}, {kind: usedMore, usage: contract.Usage{Requests: 1, InputTokens: 8, OutputTokens: 2}}}},
		"OpenCode: an error":    {openCode, `{"type":"error","error":{"name":"ProviderAuthError","data":{"message":"no key"}}}`, []event{{kind: failed, cause: failure.Cause{Types: []string{"ProviderAuthError"}, Text: "no key"}}}},
		"OpenCode: a beginning": {openCode, `{"type":"step_start"}`, nil},
		"OpenCode: reasoning":   {openCode, `{"type":"reasoning","part":{"text":"hm"}}`, nil},

		"Claude: text":             {claude, `{"type":"assistant","message":{"content":[{"type":"text","text":"hi"},{"type":"thinking","thinking":"hm"}]}}`, []event{{kind: said, text: "hi"}, {kind: ended}}},
		"Claude: a tool":           {claude, `{"type":"assistant","message":{"content":[{"type":"tool_use","id":"c","name":"Bash","input":{"command":"ls -l","description":"List"}}]}}`, []event{{kind: called, tool: tool{"c", "Bash", "List", "in_progress"}}}},
		"Claude: a bad tool":       {claude, `{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"c","is_error":true}]}}`, []event{{kind: called, tool: tool{"c", "tool", "", "failed"}}}},
		"Claude: a good tool":      {claude, `{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"c"}]}}`, nil},
		"Claude: the prompt":       {claude, `{"type":"user","message":{"content":"do it"}}`, nil},
		"Claude: its own error":    {claude, `{"type":"assistant","error":"billing_error","message":{"content":[{"type":"text","text":"Credit balance is too low"}]}}`, []event{{kind: failed, cause: failure.Cause{Types: []string{"billing_error"}, Text: "Credit balance is too low"}}}},
		"Claude: no error":         {claude, `{"type":"assistant","error":null,"message":{"content":[{"type":"text","text":"hi"}]}}`, []event{{kind: said, text: "hi"}, {kind: ended}}},
		"Claude: a good result":    {claude, `{"type":"result","subtype":"success","is_error":false,"result":"done","num_turns":2,"usage":{"input_tokens":1,"cache_read_input_tokens":2,"cache_creation_input_tokens":4,"output_tokens":5}}`, []event{{kind: used, usage: contract.Usage{Requests: 2, InputTokens: 7, OutputTokens: 5}}, {kind: concluded, text: "done"}}},
		"Claude: a bad result":     {claude, `{"type":"result","subtype":"success","is_error":true,"result":"API Error: 529 {\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}"}`, []event{{kind: used}, {kind: lost, cause: failure.Cause{Status: 529, Types: []string{"overloaded_error"}, Text: "Overloaded"}}}},
		"Claude: out of turns":     {claude, `{"type":"result","subtype":"error_max_turns","is_error":true}`, []event{{kind: used}, {kind: lost, cause: failure.Cause{Text: "error_max_turns"}}}},
		"Claude: a list of errors": {claude, `{"type":"result","subtype":"error_during_execution","is_error":true,"errors":["it broke"]}`, []event{{kind: used}, {kind: lost, cause: failure.Cause{Text: "it broke"}}}},
		"Claude: a broken result":  {claude, `{"type":"result"}`, []event{{kind: used}, {kind: lost}}},
		"Claude: a system line":    {claude, `{"type":"system","subtype":"init","tools":["Bash"]}`, nil},

		"Codex: text":              {codex, `{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"hi"}}`, []event{{kind: said, text: "hi"}, {kind: ended}}},
		"Codex: a command":         {codex, `{"type":"item.started","item":{"id":"i","type":"command_execution","command":"ls","status":"in_progress"}}`, []event{{kind: called, tool: tool{"i", "command_execution", "ls", "in_progress"}}}},
		"Codex: a file":            {codex, `{"type":"item.completed","item":{"id":"i","type":"file_change","changes":[{"path":"a"},{"path":"b"}],"status":"completed"}}`, []event{{kind: called, tool: tool{"i", "file_change", " a b", "completed"}}}},
		"Codex: a search":          {codex, `{"type":"item.completed","item":{"id":"i","type":"web_search","query":"go"}}`, []event{{kind: called, tool: tool{"i", "web_search", "go", "completed"}}}},
		"Codex: a server's tool":   {codex, `{"type":"item.started","item":{"id":"i","type":"mcp_tool_call","server":"s","tool":"t"}}`, []event{{kind: called, tool: tool{"i", "mcp_tool_call", "s/t", "in_progress"}}}},
		"Codex: reasoning":         {codex, `{"type":"item.completed","item":{"id":"i","type":"reasoning","text":"hm"}}`, nil},
		"Codex: a warning":         {codex, `{"type":"item.completed","item":{"id":"i","type":"error","message":"careful"}}`, []event{{kind: stray, text: "careful"}}},
		"Codex: a turn":            {codex, `{"type":"turn.completed","usage":{"input_tokens":3,"cached_input_tokens":1,"output_tokens":2}}`, []event{{kind: finished}, {kind: usedMore, usage: contract.Usage{Requests: 1, InputTokens: 3, OutputTokens: 2}}}},
		"Codex: a failed turn":     {codex, `{"type":"turn.failed","error":{"message":"unexpected status 401 Unauthorized: bad key"}}`, []event{{kind: lost, cause: failure.Cause{Status: 401, Text: "unexpected status 401 Unauthorized: bad key"}}}},
		"Codex: a reconnect":       {codex, `{"type":"error","message":"Reconnecting... 1/5"}`, []event{{kind: failed, cause: failure.Cause{Text: "Reconnecting... 1/5"}}}},
		"Codex: a message started": {codex, `{"type":"item.started","item":{"id":"i","type":"agent_message"}}`, nil},

		"no JSON":            {codex, `WARNING: hello`, []event{{kind: stray, text: "WARNING: hello"}}},
		"half an object":     {openCode, `{"type":"text","part":{"te`, []event{{kind: stray, text: `{"type":"text","part":{"te`}}},
		"an array":           {claude, `[{"type":"assistant"}]`, []event{{kind: stray, text: `[{"type":"assistant"}]`}}},
		"no type":            {claude, `{"message":"x"}`, []event{{kind: stray, text: `{"message":"x"}`}}},
		"another shape":      {openCode, `{"type":"text","part":"x"}`, []event{{kind: stray, text: `{"type":"text","part":"x"}`}}},
		"an unknown type":    {codex, `{"type":"something.new","x":1}`, nil},
		"an empty line":      {claude, "  \r", nil},
		"a line with spaces": {codex, "  {\"type\":\"turn.started\"}\r", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := understand(parsers[tt.output], line{text: []byte(tt.line), size: len(tt.line)})
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(event{}, tool{}), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"type":"assistant","message":{"content":[{"type":"text","text":"x"}]}}`)
	f.Add(`{"type":"result","is_error":true,"result":{"a":[1]}}`)
	f.Add(`{"type":"error","error":[null,{"data":{"message":{}}}]}`)
	f.Add(`{"type":"item.completed","item":{"type":"file_change"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, p := range parsers {
			for _, e := range understand(p, line{text: []byte(text), size: len(text)}) {
				if e.kind == stray && strings.TrimSpace(e.text) == "" && e.text != "" {
					t.Errorf("white space is shown: %q", e.text)
				}
			}
		}
		updateEvents([]byte(text))
	})
}

func TestEachLine(t *testing.T) {
	tests := map[string]struct {
		input string
		want  []string
	}{
		"lines":                 {"a\nbb\n\nccc\n", []string{"a/1", "bb/2", "/0", "ccc/3"}},
		"no end":                {"a\nb", []string{"a/1", "b/1"}},
		"nothing":               {"", nil},
		"too long":              {"123456789\nx\n", []string{"1234/9", "x/1"}},
		"too long and no end":   {"123456789", []string{"1234/9"}},
		"exactly":               {"1234\n", []string{"1234/4"}},
		"longer than a buffer":  {strings.Repeat("y", 200<<10) + "\nx\n", []string{"yyyy/204800", "x/1"}},
		"a carriage return too": {"a\r\n", []string{"a\r/2"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			err := eachLine(strings.NewReader(tt.input), 4, func(l line) { got = append(got, string(l.text)+"/"+strconv.Itoa(l.size)) })
			if !errors.Is(err, io.EOF) {
				t.Errorf("ended with %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestMemoryIsBounded: however much an agent prints, little of it is remembered.
func TestMemoryIsBounded(t *testing.T) {
	j, _ := job(t, "text", "x")
	r := newRecord(j.Transcript, j.Redactor, j.Prompt)
	chunk := strings.Repeat("z", 1<<16)
	for i := range 150 {
		r.apply(event{kind: said, text: chunk}, event{kind: called, tool: tool{id: strconv.Itoa(i) + chunk[:100], title: chunk}}, event{kind: stray, text: chunk})
	}
	size := len(r.message.text) + cap(r.message.text) + cap(r.strays.text) + r.echo.heard.Cap()
	for id, t := range r.shown {
		size += len(id) + len(t.title)
	}
	if size > 1<<20 {
		t.Errorf("%d bytes are remembered", size)
	}
}
