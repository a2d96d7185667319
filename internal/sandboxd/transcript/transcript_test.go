package transcript

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/redact"
)

const key = "sk-delivered-0123456789"

func write(format contract.LogFormat, speak func(t *Transcript)) string {
	var out bytes.Buffer
	tr := New(&out, format, redact.New(key), func() time.Time { return time.Unix(1700000000, 0) })
	speak(tr)
	tr.Flush()
	return out.String()
}

func TestReadableText(t *testing.T) {
	tests := map[string]struct {
		speak func(t *Transcript)
		want  string
	}{
		"pieces become lines":      {func(t *Transcript) { t.Text("Hel"); t.Text("lo\nwor"); t.Text("ld") }, "Hello\nworld\n"},
		"indentation stays":        {func(t *Transcript) { t.Text("  a\n\tb\n\nc\n") }, "  a\n\tb\n\nc\n"},
		"a note":                   {func(t *Transcript) { t.Note("Cloning %s", "x") }, "[sandkeep] Cloning x\n"},
		"a note of two lines":      {func(t *Transcript) { t.Note("a\nb") }, "[sandkeep] a\n           b\n"},
		"a note ends what is said": {func(t *Transcript) { t.Text("half"); t.Note("n"); t.Text("rest") }, "half\n[sandkeep] n\nrest\n"},
		"a tool":                   {func(t *Transcript) { t.Tool("edit", "a.go", "completed") }, "[tool] edit completed: a.go\n"},
		"a tool without a title":   {func(t *Transcript) { t.Tool("edit", "", "failed") }, "[tool] edit failed\n"},
		"a tool of many lines":     {func(t *Transcript) { t.Tool("bash", "one\ntwo", "completed") }, "[tool] bash completed: one …\n"},
		"a tool of a long line":    {func(t *Transcript) { t.Tool("bash", strings.Repeat("ü", 300), "") }, "[tool] bash : " + strings.Repeat("ü", 200) + " …\n"},
		"standard error":           {func(t *Transcript) { t.Stderr("warn"); t.Stderr("ing\n") }, "stderr: warning\n"},
		"usage":                    {func(t *Transcript) { t.Usage(contract.Usage{InputTokens: 1, OutputTokens: 2, Requests: 3}) }, "[usage] 1 tokens in, 2 out, 3 requests, by the agent's own count\n"},
		"success": {func(t *Transcript) {
			t.End(contract.Report{Outcome: contract.OutcomeSucceeded, Summary: "Done\nwell"})
		}, "[sandkeep] Succeeded; no usage told by the agent\n[sandkeep] Done\n           well\n"},
		"failure": {func(t *Transcript) {
			t.End(contract.Report{Outcome: contract.OutcomeFailed, Class: contract.AgentSilent, Message: "m", Summary: "s"})
		}, "[sandkeep] Failed, AgentSilent; no usage told by the agent\n[sandkeep] m\n"},
		"colours and titles":                {func(t *Transcript) { t.Text("\x1b[31mred\x1b[0m \x1b]0;title\x07x\x1b]8;;u\x1b\\y\x1b(B\x1b7\n") }, "red xy\n"},
		"control characters":                {func(t *Transcript) { t.Text("a\x00b\x07c\rd\u202ee\u200bf\u009bg\n") }, "abcdefg\n"},
		"invalid text":                      {func(t *Transcript) { t.Text("a\xff\xfeb\n") }, "ab\n"},
		"a rune in two pieces":              {func(t *Transcript) { t.Text("\xc3"); t.Text("\xbc\n") }, "ü\n"},
		"a key":                             {func(t *Transcript) { t.Text("key " + key + "!\n") }, "key [redacted]!\n"},
		"a key in pieces":                   {func(t *Transcript) { t.Text(key[:5]); t.Text(key[5:9]); t.Text(key[9:] + "\n") }, "[redacted]\n"},
		"a key on two lines":                {func(t *Transcript) { t.Text(key[:5] + "\n" + key[5:] + "\nx\n") }, "[redacted]\nx\n"},
		"a key behind a control sequence":   {func(t *Transcript) { t.Text(key[:5] + "\x1b[1m" + key[5:] + "\n") }, "[redacted]\n"},
		"a key behind a control character":  {func(t *Transcript) { t.Text(key[:5] + "\u200b" + key[5:] + "\n") }, "[redacted]\n"},
		"a key in a tool's title":           {func(t *Transcript) { t.Tool("bash", "echo "+key, "completed") }, "[tool] bash completed: echo [redacted]\n"},
		"a key on standard error":           {func(t *Transcript) { t.Stderr(key + "\n") }, "stderr: [redacted]\n"},
		"a key in a note":                   {func(t *Transcript) { t.Note("failed: %s", key) }, "[sandkeep] failed: [redacted]\n"},
		"a line without an end":             {func(t *Transcript) { t.Text(strings.Repeat("x", maxLine+1)) }, strings.Repeat("x", maxLine) + "\nx\n"},
		"a key across the border of a line": {func(t *Transcript) { t.Text(strings.Repeat("x", maxLine-5) + key + "\n") }, strings.Repeat("x", maxLine-5) + "[redacted]\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, write(contract.LogFormatText, tt.speak)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestJSONLines(t *testing.T) {
	got := write(contract.LogFormatJSON, func(t *Transcript) {
		t.Note("n")
		t.Text("a \"quoted\" word\n")
		t.Tool("edit", "x", "completed")
		t.End(contract.Report{Outcome: contract.OutcomeSucceeded, Summary: "s", Usage: contract.Usage{OutputTokens: 1}})
	})
	at := time.Unix(1700000000, 0).UTC()
	want := []Entry{
		{Time: at, Kind: KindNote, Text: "n"},
		{Time: at, Kind: KindText, Text: `a "quoted" word`},
		{Time: at, Kind: KindTool, Text: "x", Tool: "edit", Status: "completed"},
		{Time: at, Kind: KindEnd, Text: "s", Usage: &contract.Usage{OutputTokens: 1}, Outcome: contract.OutcomeSucceeded},
	}
	var entries []Entry
	for line := range strings.Lines(got) {
		var e Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		entries = append(entries, e)
	}
	if diff := cmp.Diff(want, entries); diff != "" {
		t.Error(diff)
	}
}

// FuzzText: however an agent's text is cut, no key and no control character gets into the log, and nothing else is lost.
func FuzzText(f *testing.F) {
	f.Add("hello\nworld", uint8(2))
	f.Add(key[:7]+"\x1b[0m"+key[7:]+"\r\n", uint8(1))
	f.Add("\x1b]0;"+key+"\x07\u202e", uint8(5))
	f.Fuzz(func(t *testing.T, text string, size uint8) {
		got := write(contract.LogFormatText, func(tr *Transcript) {
			for rest := text; rest != ""; {
				n := min(len(rest), int(size)+1)
				tr.Text(rest[:n])
				rest = rest[n:]
			}
		})
		if strings.Contains(strings.ReplaceAll(got, "\n", ""), key) {
			t.Fatalf("the key is in %q", got)
		}
		if i := strings.IndexFunc(got, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r == '\u202e' }); i >= 0 {
			t.Fatalf("a control character is in %q", got)
		}
	})
}
