package agent

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/agenttest"
	"github.com/sandkeep/sandkeep/internal/sandboxd/process"
	"github.com/sandkeep/sandkeep/internal/sandboxd/redact"
	"github.com/sandkeep/sandkeep/internal/sandboxd/transcript"
)

func TestMain(m *testing.M) {
	agenttest.Main()
	os.Exit(m.Run())
}

// log is a transcript that can be read while it is written.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// job is an agent of package agenttest at work in a directory of its own.
func job(t *testing.T, kind, prompt string) (*Job, *log) {
	t.Helper()
	out := &log{}
	redactor := redact.New("sk-delivered-key-0001")
	j := &Job{
		Agent:     contract.Agent{Protocol: contract.ProtocolCommand, Output: contract.OutputText, Command: agenttest.Command(kind)},
		Prompt:    prompt,
		Dir:       t.TempDir(),
		Env:       []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()},
		Patience:  2 * time.Second,
		Handshake: 20 * time.Second,
		Tree:      process.NewTree(),
		Redactor:  redactor,
		Transcript: transcript.New(out, contract.LogFormatText, redactor,
			func() time.Time { return time.Unix(0, 0) }),
	}
	if kind == "acp" || kind == "replay" {
		j.Agent.Protocol = contract.ProtocolACP
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("transcript:\n%.4000s", out)
		}
	})
	return j, out
}

// want is what a result must be; an empty class means success.
type want struct {
	class    contract.FailureClass
	message  string
	evidence bool
	summary  string
	usage    contract.Usage
}

func check(t *testing.T, r Result, w want) {
	t.Helper()
	got := want{evidence: r.Evidence, summary: r.Summary, usage: r.Usage}
	if r.Failure != nil {
		got.class, got.message = r.Failure.Class, w.message
		if !strings.Contains(r.Failure.Message, w.message) {
			t.Errorf("the message %q does not say %q", r.Failure.Message, w.message)
		}
	}
	if diff := cmp.Diff(w, got, cmp.AllowUnexported(want{})); diff != "" {
		t.Errorf("result (-want +got), message %+v:\n%s", r.Failure, diff)
	}
}

func recording(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../../../test/fixtures/testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestRecordedOpenCodeACP replays what the real agent sent while a scripted provider answered it.
func TestRecordedOpenCodeACP(t *testing.T) {
	last := contract.Usage{InputTokens: 100, OutputTokens: 20}
	cutText := strings.TrimSpace(strings.Repeat("This sentence ends before its end. ", 4))
	tests := map[string]want{
		"edit-and-test":       {evidence: true, summary: "Repaired subtract in calculator.sh; test.sh says that all tests passed.", usage: last},
		"529-once":            {evidence: true, summary: "ok", usage: last},
		"external-directory":  {evidence: true, summary: "Written.", usage: last},
		"empty":               {usage: last},
		"401":                 {class: contract.ProviderAuthenticationFailed, message: "invalid x-api-key"},
		"403":                 {class: contract.ProviderAuthenticationFailed, message: "Your API key does not have permission"},
		"429":                 {class: contract.ProviderRateLimited, message: "exceed your organization's rate limit"},
		"500":                 {class: contract.ProviderUnavailable, message: "Internal server error"},
		"529":                 {class: contract.ProviderUnavailable, message: "Overloaded"},
		"credit":              {class: contract.ProviderQuotaExhausted, message: "credit balance is too low"},
		"overflow":            {class: contract.ContextOverflow, message: "context exceeds model limit"},
		"no-credential":       {class: contract.ProviderAuthenticationFailed, message: "no credential"},
		"cut":                 {class: contract.ProviderUnavailable, message: "socket connection was closed", evidence: true, summary: cutText},
		"overloaded-midway":   {class: contract.ProviderUnavailable, message: "Overloaded", evidence: true},
		"permission-allowed":  {evidence: true, summary: "Repaired subtract in calculator.sh; test.sh says that all tests passed.", usage: last},
		"failing-command":     {evidence: true, summary: "", usage: last},
		"unknown-tool":        {evidence: true, summary: "", usage: last},
		"permission-rejected": {evidence: true, summary: "", usage: last},
	}
	for name, w := range tests {
		t.Run(name, func(t *testing.T) {
			j, _ := job(t, "replay", "the recording knows the prompt")
			j.Agent.Command = agenttest.Command("replay", recording(t, "acp/"+name+".jsonl"))
			r := j.Run(t.Context())
			if w.summary == "" && w.evidence {
				w.summary = r.Summary // what tools said is not ours to test
			}
			check(t, r, w)
		})
	}
}

// TestRecordedClaude recites what the real Claude Code printed.
func TestRecordedClaude(t *testing.T) {
	tests := map[string]struct {
		code string
		want want
	}{
		"success":           {"0", want{evidence: true, summary: "Repaired subtract in calculator.sh; test.sh says that all tests passed.", usage: contract.Usage{Requests: 4, InputTokens: 400, OutputTokens: 80}}},
		"permission-denied": {"0", want{evidence: true, usage: contract.Usage{Requests: 4, InputTokens: 400, OutputTokens: 80}}},
		"empty":             {"0", want{usage: contract.Usage{Requests: 2, InputTokens: 200, OutputTokens: 40}}},
		"401":               {"1", want{class: contract.ProviderAuthenticationFailed, message: "(status 401): Invalid API key", usage: contract.Usage{Requests: 1}}},
		"403":               {"1", want{class: contract.ProviderAuthenticationFailed, message: "Your API key does not have permission", usage: contract.Usage{Requests: 1}}},
		"429":               {"1", want{class: contract.ProviderRateLimited, message: "exceed your organization's rate limit", usage: contract.Usage{Requests: 1}}},
		"500":               {"1", want{class: contract.ProviderUnavailable, message: "Internal server error", usage: contract.Usage{Requests: 1}}},
		"529":               {"1", want{class: contract.ProviderUnavailable, message: "Overloaded", usage: contract.Usage{Requests: 1}}},
		"credit":            {"1", want{class: contract.ProviderQuotaExhausted, message: "Credit balance is too low", usage: contract.Usage{Requests: 1}}},
		"overflow":          {"1", want{class: contract.ContextOverflow, message: "Prompt is too long", usage: contract.Usage{Requests: 1}}},
		"cut":               {"1", want{class: contract.ProviderUnavailable, message: "ECONNRESET", usage: contract.Usage{Requests: 1}}},
		"no-credential":     {"1", want{class: contract.ProviderAuthenticationFailed, message: "Not logged in", usage: contract.Usage{Requests: 1}}},
		// The exit code alone must not save a run whose result is an error: its subtype says "success".
		"401 with exit code 0": {"0", want{class: contract.ProviderAuthenticationFailed, message: "Invalid API key", usage: contract.Usage{Requests: 1}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			j, _ := job(t, "recite", "hello")
			file, _, _ := strings.Cut(name, " ")
			j.Agent.Output = contract.OutputClaudeStreamJSON
			j.Agent.Command = agenttest.Command("recite", recording(t, "claude/"+file+".jsonl"), tt.code)
			r := j.Run(t.Context())
			if tt.want.summary == "" && tt.want.evidence {
				tt.want.summary = r.Summary
			}
			check(t, r, tt.want)
		})
	}
}

// TestRecordedOpenCodeRun recites what the real `opencode run --format json` printed; see testdata/README.md.
func TestRecordedOpenCodeRun(t *testing.T) {
	steps := func(n int64) contract.Usage {
		return contract.Usage{Requests: n, InputTokens: 100 * n, OutputTokens: 20 * n}
	}
	tests := map[string]struct {
		code string
		want want
	}{
		"edit-and-test": {"0", want{evidence: true, summary: "Repaired subtract in calculator.sh; test.sh says that all tests passed.", usage: steps(4)}},
		"529-once":      {"0", want{evidence: true, summary: "ok", usage: steps(1)}},
		"unknown-tool":  {"0", want{evidence: true, summary: "The arguments provided", usage: steps(2)}},
		// An empty answer costs tokens and is none.
		"empty":         {"0", want{usage: steps(1)}},
		"401":           {"1", want{class: contract.ProviderAuthenticationFailed, message: "(status 401): invalid x-api-key"}},
		"429":           {"1", want{class: contract.ProviderRateLimited, message: "(status 429): This request would exceed"}},
		"529":           {"1", want{class: contract.ProviderUnavailable, message: "(status 529): Overloaded"}},
		"credit":        {"1", want{class: contract.ProviderQuotaExhausted, message: "credit balance is too low"}},
		"overflow":      {"1", want{class: contract.ContextOverflow, message: "prompt is too long: 250000 tokens"}},
		"cut":           {"1", want{class: contract.ProviderUnavailable, message: "Connection reset by server"}},
		"no-credential": {"1", want{class: contract.AgentCrashed, message: "ProviderModelNotFoundError: Model not found: anthropic/claude-sonnet-4-5"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			j, _ := job(t, "recite", "hello")
			j.Agent.Output = contract.OutputOpenCodeJSON
			path, err := filepath.Abs("testdata/opencode/" + name)
			if err != nil {
				t.Fatal(err)
			}
			j.Agent.Command = agenttest.Command("recite", path+".jsonl", tt.code)
			if name == "no-credential" {
				j.Agent.Command = append(j.Agent.Command, path+".stderr")
			}
			r := j.Run(t.Context())
			if name == "unknown-tool" {
				r.Summary = r.Summary[:len(tt.want.summary)]
			}
			check(t, r, tt.want)
			if name == "429" && r.Failure.RetryAfter != time.Second {
				t.Errorf("the provider's wish is lost: %+v", r.Failure)
			}
		})
	}
}

// TestRecordedCodex recites what the real `codex exec --json` printed; see testdata/README.md.
func TestRecordedCodex(t *testing.T) {
	tests := map[string]struct {
		code string
		want want
	}{
		"edit-and-test": {"0", want{evidence: true, summary: "Repaired subtract in calculator.sh; test.sh says that all tests passed.", usage: contract.Usage{Requests: 1, InputTokens: 400, OutputTokens: 80}}},
		"whoami":        {"0", want{evidence: true, summary: "paid by authorization 29dfaaf1", usage: contract.Usage{Requests: 1, InputTokens: 100, OutputTokens: 20}}},
		"empty":         {"0", want{usage: contract.Usage{Requests: 1, InputTokens: 100, OutputTokens: 20}}},
		"401":           {"1", want{class: contract.ProviderAuthenticationFailed, message: "401 Unauthorized: invalid x-api-key"}},
		"429":           {"1", want{class: contract.ProviderRateLimited, message: "429 Too Many Requests"}},
		"529":           {"1", want{class: contract.ProviderUnavailable, message: "Overloaded"}},
		"credit":        {"1", want{class: contract.ProviderQuotaExhausted, message: "used up: Your credit balance is too low"}},
		"overflow":      {"1", want{class: contract.ContextOverflow, message: "context: prompt is too long: 250000 tokens > 200000 maximum"}},
		"cut":           {"1", want{class: contract.ProviderUnavailable, message: "stream disconnected before completion"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			j, _ := job(t, "recite", "hello")
			path, err := filepath.Abs("testdata/codex/" + name + ".jsonl")
			if err != nil {
				t.Fatal(err)
			}
			j.Agent.Output = contract.OutputCodexJSON
			j.Agent.Command = agenttest.Command("recite", path, tt.code)
			check(t, j.Run(t.Context()), tt.want)
		})
	}
}

func TestRetriesAreTold(t *testing.T) {
	j, out := job(t, "recite", "hello")
	j.Agent.Output = contract.OutputClaudeStreamJSON
	j.Agent.Command = agenttest.Command("recite", recording(t, "claude/429.jsonl"), "1")
	j.Run(t.Context())
	if !strings.Contains(out.String(), "sends a request again (2 of 2) after: rate_limit (status 429)") {
		t.Errorf("the retry is not told:\n%s", out)
	}
}

// TestText is the protocol without a format.
func TestText(t *testing.T) {
	tests := map[string]struct {
		prompt string
		want   want
	}{
		"an answer":                     {"say hello", want{evidence: true, summary: "hello"}},
		"nothing at all":                {"", want{}},
		"nothing but white space":       {`say \n  \n`, want{}},
		"the prompt as the answer":      {"echo", want{summary: "echo"}},
		"the prompt twice":              {"echo\necho", want{summary: "echo\necho\necho\necho"}},
		"the prompt and a word more":    {"echo\nsay done", want{evidence: true, summary: "echo\nsay done\ndone"}},
		"an exit code":                  {"stderr cannot open the file\nexit 3", want{class: contract.AgentCrashed, message: "ended with exit code 3: cannot open the file"}},
		"an exit code and no word":      {"exit 4", want{class: contract.AgentCrashed, message: "ended with exit code 4 and said nothing"}},
		"an exit code and an answer":    {"say I give up\nexit 5", want{class: contract.AgentCrashed, message: "exit code 5: I give up", evidence: true, summary: "I give up"}},
		"a signal":                      {"die", want{class: contract.AgentCrashed, message: "killed by signal 9"}},
		"a provider's words on stderr":  {"stderr Error: prompt is too long: 3 > 2\nexit 1", want{class: contract.ContextOverflow, message: "prompt is too long"}},
		"some tool's 403 on stderr":     {"stderr npm ERR! 403 Forbidden\nexit 1", want{class: contract.AgentCrashed, message: "403 Forbidden"}},
		"ten megabytes on one line":     {"long 10485760\nsay done", want{evidence: true, summary: "done"}},
		"more prompt than a pipe holds": {"say hello\n" + strings.Repeat(" ", 200<<10), want{evidence: true, summary: "hello"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			j, _ := job(t, "text", tt.prompt)
			check(t, j.Run(t.Context()), tt.want)
		})
	}
}

func TestAProgramThatDoesNotReadItsInput(t *testing.T) {
	j, _ := job(t, "deaf", strings.Repeat("x", 1<<20))
	check(t, j.Run(t.Context()), want{})
}

// TestACP is the protocol with an agent of our own.
func TestACP(t *testing.T) {
	tests := map[string]struct {
		prompt string
		want   want
	}{
		"an answer":                     {"say hello", want{evidence: true, summary: "hello"}},
		"a tool call":                   {"tool Look around", want{evidence: true}},
		"the last message counts":       {"say first\ntool t\nsay second", want{evidence: true, summary: "second"}},
		"nothing at all":                {"", want{}},
		"thoughts alone":                {"think about it", want{}},
		"the user's words repeated":     {"user hello", want{}},
		"the prompt as the answer":      {"echo", want{summary: "echo"}},
		"tokens without an answer":      {`usage {"inputTokens":5,"outputTokens":9,"totalTokens":14}`, want{usage: contract.Usage{InputTokens: 5, OutputTokens: 9}}},
		"more than the library's queue": {"burst 5000\ntool t\nsay done", want{evidence: true, summary: "done"}},
		"output that is no protocol":    {"raw this is not JSON\nraw {\"broken\nsay done", want{evidence: true, summary: "done"}},
		"invalid output alone":          {"raw hello", want{}},
		"an unknown kind of update":     {`raw {"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s","update":{"sessionUpdate":"new_thing"}}}` + "\nsay done", want{evidence: true, summary: "done"}},
		"an update of 10 MB":            {"long 10485760\ntool t\nsay done", want{evidence: true, summary: "done"}},
		"an error":                      {`refuse {"code":-32603,"message":"Internal error: invalid x-api-key"}`, want{class: contract.ProviderAuthenticationFailed, message: "refused the credential: invalid x-api-key"}},
		"a need to log in":              {`refuse {"code":-32000,"message":"Authentication required"}`, want{class: contract.ProviderAuthenticationFailed, message: "Authentication required"}},
		"an error with a cause":         {`refuse {"code":-32603,"message":"Internal error","data":{"details":"model exploded"}}`, want{class: contract.AgentCrashed, message: "model exploded"}},
		"an end in the middle":          {"say working\nstderr out of ideas\nexit 3", want{class: contract.AgentCrashed, message: "exit code 3: out of ideas", evidence: true, summary: "working"}},
		"an orderly end in the middle":  {"say working\nexit 0", want{class: contract.AgentCrashed, message: "ended in the middle of its work", evidence: true, summary: "working"}},
		"killed":                        {"die", want{class: contract.AgentCrashed, message: "killed by signal 9"}},
		"cut at the token limit":        {"say half\nstop max_tokens", want{class: contract.ContextOverflow, message: "cut off", evidence: true, summary: "half"}},
		"a refusal":                     {"say no\nstop refusal", want{class: contract.AgentCrashed, message: "refused to go on", evidence: true, summary: "no"}},
		"a turn that cancels itself":    {"stop cancelled", want{class: contract.AgentCrashed, message: "cancelled its turn"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			j, _ := job(t, "acp", tt.prompt)
			check(t, j.Run(t.Context()), tt.want)
		})
	}
}

// TestAnAnswerIsNotLostInTheAgentsEnd: one that answers and is gone has answered, whichever is noticed first.
func TestAnAnswerIsNotLostInTheAgentsEnd(t *testing.T) {
	for range 40 {
		j, _ := job(t, "replay", "the recording knows the prompt")
		j.Agent.Command = agenttest.Command("replay", recording(t, "acp/529-once.jsonl"), "0")
		check(t, j.Run(t.Context()), want{evidence: true, summary: "ok", usage: contract.Usage{InputTokens: 100, OutputTokens: 20}})
	}
}

func TestACPPermissions(t *testing.T) {
	for answer, leave := range map[contract.Permissions]string{contract.PermissionsAllow: "leave: once", "": "leave: once", contract.PermissionsDeny: "leave: no"} {
		j, _ := job(t, "acp", "permission")
		j.Agent.Permissions = answer
		check(t, j.Run(t.Context()), want{evidence: true, summary: leave})
	}
}

func TestACPModel(t *testing.T) {
	tests := map[string]struct {
		model string
		args  []string
		want  want
	}{
		"a model that the agent has":       {"large", nil, want{evidence: true, summary: "model=large"}},
		"none":                             {"", nil, want{evidence: true, summary: "model="}},
		"a model that it has not":          {"huge", nil, want{class: contract.AgentCrashed, message: `does not take the model "huge": model not found; it knows small, large`}},
		"a model that the arguments named": {"huge", []string{"--model=$(MODEL)"}, want{evidence: true, summary: "model="}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			j, _ := job(t, "acp", "model")
			j.Model, j.Agent.Args = tt.model, tt.args
			check(t, j.Run(t.Context()), tt.want)
		})
	}
}

func TestACPAgentsThatNeverAnswer(t *testing.T) {
	tests := map[string]struct {
		kind string
		want want
	}{
		"silent":              {"mute", want{class: contract.AgentSilent, message: "did not answer initialize within 300ms"}},
		"ends at once":        {"deaf", want{class: contract.AgentCrashed, message: "ended in the middle"}},
		"closes its output":   {"closed", want{class: contract.AgentCrashed, message: "closed its output"}},
		"answers with 12 MiB": {"huge", want{class: contract.AgentCrashed, message: "with a message of 12582"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			j, _ := job(t, tt.kind, "hello")
			j.Agent.Protocol = contract.ProtocolACP
			if tt.kind == "mute" {
				j.Handshake = 300 * time.Millisecond
			}
			check(t, j.Run(t.Context()), tt.want)
		})
	}
}

func TestSilence(t *testing.T) {
	for _, kind := range []string{"text", "acp"} {
		t.Run(kind, func(t *testing.T) {
			j, _ := job(t, kind, "say hello\nhang")
			j.Silence, j.Patience = 1500*time.Millisecond, 200*time.Millisecond
			check(t, j.Run(t.Context()), want{class: contract.AgentSilent, message: "no sign of life for 1.5s", evidence: true, summary: "hello"})
		})
	}
}

// TestStop ends agents of every temper.
func TestStop(t *testing.T) {
	tests := map[string]struct {
		kind, prompt string
		want         want
	}{
		"a text agent":               {"text", "say ready\nhang", want{summary: "ready"}},
		"one that ignores SIGTERM":   {"text", "stubborn\nsay ready\nhang", want{summary: "ready"}},
		"an ACP agent that obeys":    {"acp", "say ready\nawait-cancel", want{summary: "ready\ncancelled"}},
		"an ACP agent that does not": {"acp", "stubborn\nsay ready\nhang", want{summary: "ready"}},
		"one that has left a daemon": {"text", "daemon pid\nsay ready\nhang", want{summary: "ready"}},
		"an ACP agent with a daemon": {"acp", "daemon pid\nsay ready\nhang", want{summary: "ready"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			j, out := job(t, tt.kind, tt.prompt)
			j.Patience = 400 * time.Millisecond
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			done := make(chan Result, 1)
			go func() { done <- j.Run(ctx) }()
			await(t, "the agent to be ready", func() bool { return strings.Contains(out.String(), "ready\n") })
			if strings.HasPrefix(tt.prompt, "daemon ") {
				t.Cleanup(func() { endDaemon(t, filepath.Join(j.Dir, "pid")) })
			}
			stop()
			tt.want.class, tt.want.message, tt.want.evidence = contract.Stopped, "asked to stop", true
			check(t, <-done, tt.want)
		})
	}
}

// endDaemon ends what only a Tree that adopts orphans would have ended.
func endDaemon(t *testing.T, file string) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL) // it leads a group of its own
}

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(30 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestOutOfMemory(t *testing.T) {
	tests := map[string]struct {
		prompt string
		rises  bool
		want   want
	}{
		"killed while the counter rose":           {"die", true, want{class: contract.OutOfMemory, message: "raise the memory limit"}},
		"a shell's child killed meanwhile":        {"exit 137", true, want{class: contract.OutOfMemory, message: "raise the memory limit"}},
		"killed by something else":                {"die", false, want{class: contract.AgentCrashed, message: "signal 9"}},
		"a tool was killed and the agent went on": {"say done", true, want{evidence: true, summary: "done"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			j, _ := job(t, "text", tt.prompt)
			kills := int64(0)
			j.OOMKills = func() int64 {
				if tt.rises {
					kills++
				}
				return kills
			}
			check(t, j.Run(t.Context()), tt.want)
		})
	}
}

func TestProgramsThatCannotBeStarted(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "text"), []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "binary"), []byte("\x7fELF nonsense"), 0o755); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		command []string
		message string
	}{
		"not in the PATH":           {[]string{"no-such-agent"}, `The image has no program "no-such-agent"`},
		"not at its path":           {[]string{"/nowhere/agent"}, `The image has no program "/nowhere/agent"`},
		"not executable":            {[]string{filepath.Join(dir, "text")}, "not executable"},
		"a directory":               {[]string{dir}, "not executable"},
		"made for another machine":  {[]string{filepath.Join(dir, "binary")}, "not made for this machine"},
		"not named at all":          {nil, "names no program"},
		"not found beside sandboxd": {[]string{"git-agent"}, "has no program"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			j, _ := job(t, "text", "hello")
			j.Agent.Command = tt.command
			check(t, j.Run(t.Context()), want{class: contract.AgentCrashed, message: tt.message})
		})
	}
}

func TestThePathOfTheAgentsOwnEnvironmentCounts(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "only-here"), []byte("#!/bin/sh\necho found\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	j, _ := job(t, "text", "hello")
	j.Agent.Command, j.Env = []string{"only-here"}, []string{"PATH=/bin:" + bin}
	check(t, j.Run(t.Context()), want{evidence: true, summary: "found"})
}

func TestExpandArgs(t *testing.T) {
	tests := map[string]struct {
		args  []string
		model string
		want  []string
	}{
		"a model":                       {[]string{"-m", "$(MODEL)", "x"}, "a/b", []string{"-m", "a/b", "x"}},
		"no model takes the option too": {[]string{"run", "-m", "$(MODEL)", "x"}, "", []string{"run", "x"}},
		"no model and no option":        {[]string{"run", "$(MODEL)"}, "", []string{"run"}},
		"no model at the beginning":     {[]string{"$(MODEL)", "x"}, "", []string{"x"}},
		"inside an argument":            {[]string{"--model=$(MODEL)", "$(HOME)/x:$(WORKSPACE)"}, "m", []string{"--model=m", "/h/x:/w"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := expandArgs(tt.args, map[string]string{"$(MODEL)": tt.model, "$(HOME)": "/h", "$(WORKSPACE)": "/w"})
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestNoHalfOfAKey: where a text is cut to fit, the cut must not leave a part of a key that nobody recognises any more.
func TestNoHalfOfAKey(t *testing.T) {
	const key = "sk-delivered-key-0001"
	scripts := map[string]struct{ kind, format string }{
		"standard error":  {"text", "stderr KEY%s\nexit 1"},
		"an answer":       {"text", "chunk KEY%s"},
		"a tool's title":  {"acp", "tool %sKEY"},
		"a refusal":       {"acp", `refuse {"code":-32603,"message":"%sKEY"}`},
		"a stray message": {"acp", "raw KEY%s\nexit 1"},
	}
	for name, script := range scripts {
		t.Run(name, func(t *testing.T) {
			for _, limit := range []int{600, maxTitle, maxStderr, maxStray, maxSummary} {
				padding := strings.Repeat("x", limit-8)
				j, out := job(t, script.kind, strings.NewReplacer("%s", padding, "KEY", key).Replace(script.format))
				r := j.Run(t.Context())
				text := out.String() + r.Summary
				if r.Failure != nil {
					text += r.Failure.Message
				}
				if strings.Contains(text, key[:8]) || strings.Contains(text, key[len(key)-8:]) {
					t.Errorf("half a key got out where %d bytes fit", limit)
				}
			}
		})
	}
}

func TestNoHalfOfAKeyInAConclusion(t *testing.T) {
	const key = "sk-delivered-key-0001"
	j, _ := job(t, "text", "hello")
	r := newRecord(j.Transcript, j.Redactor, j.Prompt)
	r.apply(event{kind: concluded, text: strings.Repeat("x", maxSummary-8) + key})
	if got := r.summary(); strings.Contains(got, key[:8]) {
		t.Error("half a key got out")
	}
}
