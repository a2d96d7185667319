package sandboxd_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/test/fixtures/agents"
	"github.com/sandkeep/sandkeep/test/fixtures/provider"
)

// deliveredKey is what the sandbox is given; the provider sees it, nobody else may.
const deliveredKey = "sk-ant-canary-0123456789abcdef"

// openCode is a sandbox with the real OpenCode, as the shipped class and provider set it up.
func openCode(t *testing.T, protocol contract.Protocol, prompt string) *sandbox {
	t.Helper()
	s := newSandbox(t, "text", prompt)
	s.config.Agent.Protocol, s.config.Agent.Command = protocol, []string{installed(t, agents.OpenCode)}
	s.config.Agent.Args = []string{"acp", "--print-logs", "--log-level", "ERROR"}
	if protocol == contract.ProtocolCommand {
		s.config.Agent.Output = contract.OutputOpenCodeJSON
		s.config.Agent.Args = []string{"run", "--format", "json", "--title", "sandkeep", "--print-logs", "--log-level", "ERROR", "-m", "$(MODEL)"}
	}
	s.config.Model = "anthropic/claude-sonnet-4-5"
	s.config.Env = []contract.EnvVar{
		{Name: "OPENCODE_DISABLE_MODELS_FETCH", Value: "1"},
		{Name: "npm_config_registry", Value: "http://127.0.0.1:9/"},
		{Name: "OPENCODE_CONFIG_CONTENT", Value: `{"autoupdate":false,"share":"disabled","disabled_providers":["opencode"]}`},
	}
	s.config.UnsetEnv = []string{"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "OPENAI_API_KEY"}
	s.config.Credentials = []contract.Credential{{
		Provider: "anthropic", Delivery: contract.DeliveryEnv, BaseURL: provider.Start(t, provider.Options{}) + "/",
		SecretName: "anthropic", SecretKey: "api-key",
		Env:   []contract.EnvVar{{Name: "ANTHROPIC_API_KEY", Value: "$(API_KEY)"}, {Name: "ANTHROPIC_BASE_URL", Value: "$(BASE_URL)/v1"}},
		Files: []contract.FileSpec{{Path: ".local/share/opencode/auth.json", Content: `{"anthropic":{"type":"api","key":"$(API_KEY)"}}`}},
	}}
	s.env = append(s.env, contract.APIKeyEnv(0)+"="+deliveredKey, "ANTHROPIC_API_KEY=from-the-image", "OPENAI_API_KEY=from-the-image")
	return s
}

// installed is the path of a real agent's program.
func installed(t *testing.T, p agents.Package) string {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a real agent, which -short leaves out")
	}
	cache, err := agents.CacheDir()
	must(t, err)
	binary, err := agents.Install(t.Context(), cache, p)
	must(t, err)
	return binary
}

// byFile delivers the key, and the provider's address, by files instead.
func (s *sandbox) byFile() {
	c := &s.config.Credentials[0]
	c.Delivery = contract.DeliveryFile
	c.Env = c.Env[:1]
	c.Files = append(c.Files, contract.FileSpec{Path: ".config/opencode/opencode.json", Content: `{"provider":{"anthropic":{"options":{"baseURL":"$(BASE_URL)/v1"}}}}`})
	s.env = s.env[:0]
	path := filepath.Join(s.dirs.Credentials, "anthropic", contract.APIKeyFile)
	must(s.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(s.t, os.WriteFile(path, []byte(deliveredKey+"\n"), 0o600))
}

func bothProtocols(t *testing.T, test func(t *testing.T, protocol contract.Protocol)) {
	for _, protocol := range []contract.Protocol{contract.ProtocolACP, contract.ProtocolCommand} {
		t.Run(string(protocol), func(t *testing.T) { test(t, protocol) })
	}
}

func TestOpenCodeRepairsAndPushes(t *testing.T) {
	bothProtocols(t, func(t *testing.T, protocol contract.Protocol) {
		o := newOrigin(t)
		s := openCode(t, protocol, "Repair the calculator. [[script:edit-and-test]]")
		r := s.with(contract.Repository{URL: o.url, Path: "calculator", PushBranch: "sandkeep/fix"}).run()
		wantSuccess(t, r)
		if want := "Repaired subtract in calculator.sh; test.sh says that all tests passed."; r.Summary != want {
			t.Errorf("summary %q, want %q", r.Summary, want)
		}
		if got := o.git("diff", "--stat", "main..sandkeep/fix"); !strings.Contains(got, "calculator.sh | 2 +-") {
			t.Errorf("pushed %q", got)
		}
		if r.Usage.OutputTokens == 0 || r.Usage.InputTokens == 0 {
			t.Errorf("usage %+v", r.Usage)
		}
		for _, line := range []string{"sh test.sh", "Now the test.", "calculator.sh"} {
			if !strings.Contains(s.out.String(), line) {
				t.Errorf("the transcript lacks %q", line)
			}
		}
	})
}

// TestOpenCodeGetsOneCredential: the delivered one, by environment or by file, and none that the image brings.
func TestOpenCodeGetsOneCredential(t *testing.T) {
	for _, delivery := range []contract.Delivery{contract.DeliveryEnv, contract.DeliveryFile} {
		t.Run(string(delivery), func(t *testing.T) {
			s := openCode(t, contract.ProtocolACP, "[[script:whoami]]")
			if delivery == contract.DeliveryFile {
				s.byFile()
			}
			r := s.run()
			wantSuccess(t, r)
			if want := "paid by x-api-key " + provider.Fingerprint(deliveredKey); r.Summary != want {
				t.Errorf("got %q, want %q", r.Summary, want)
			}
		})
	}
}

func TestOpenCodeFailsAsTheProviderSays(t *testing.T) {
	tests := map[string]struct {
		class contract.FailureClass
		words string
	}{
		"401":   {contract.ProviderAuthenticationFailed, "invalid x-api-key"},
		"empty": {contract.AgentSilent, "without an answer"},
	}
	for script, want := range tests {
		t.Run(script, func(t *testing.T) {
			bothProtocols(t, func(t *testing.T, protocol contract.Protocol) {
				wantFailure(t, openCode(t, protocol, "[[script:"+script+"]]").run(), want.class, want.words)
			})
		})
	}
}

// TestOpenCodeWithoutACredential keeps OpenCode's own account of it, which is all there is: its protocol names no cause.
func TestOpenCodeWithoutACredential(t *testing.T) {
	classes := map[contract.Protocol]contract.FailureClass{
		contract.ProtocolACP:     contract.ProviderAuthenticationFailed,
		contract.ProtocolCommand: contract.AgentCrashed,
	}
	bothProtocols(t, func(t *testing.T, protocol contract.Protocol) {
		s := openCode(t, protocol, "hello")
		s.config.Credentials = nil
		wantFailure(t, s.run(), classes[protocol], "anthropic/claude-sonnet-4-5")
	})
}

// TestOpenCodeEchoesTheKey: a hostile provider answers with the key, and it gets no further.
func TestOpenCodeEchoesTheKey(t *testing.T) {
	s := openCode(t, contract.ProtocolACP, "[[script:echo-key]]")
	r := s.run()
	wantSuccess(t, r)
	if strings.Contains(r.Summary+s.out.String(), deliveredKey) || !strings.Contains(r.Summary, "[redacted]") {
		t.Errorf("the key got out: %q", r.Summary)
	}
}

func TestOpenCodeIsStopped(t *testing.T) {
	bothProtocols(t, func(t *testing.T, protocol contract.Protocol) {
		o := newOrigin(t)
		s := openCode(t, protocol, `[[script:loop cmd="echo more >>work.txt; sleep 1"]]`)
		s.with(contract.Repository{URL: o.url, Path: "app", PushBranch: "sandkeep/fix"}).start()
		s.waitFor("the first command", func() bool { return exists(filepath.Join(s.dirs.Workspace, "app", "work.txt")) })
		s.stop()
		r := s.end()
		wantFailure(t, r, contract.Stopped)
		if got := o.git("show", "sandkeep/fix:work.txt"); !strings.Contains(got, "more") {
			t.Errorf("pushed %q", got)
		}
		if r.UnsavedChanges || len(r.Commits) != 1 || !r.Commits[0].Pushed {
			t.Errorf("report %+v", r)
		}
	})
}

func TestClaudeCodeRepairsAndPushes(t *testing.T) {
	o := newOrigin(t)
	s := openCode(t, contract.ProtocolCommand, "Repair the calculator. [[script:edit-and-test]]")
	s.config.Agent.Command = []string{installed(t, agents.ClaudeCode)}
	s.config.Agent.Args = []string{"-p", "--output-format", "stream-json", "--verbose", "--allowedTools", "Bash,Edit,Read,Write", "--model", "$(MODEL)"}
	s.config.Agent.Output = contract.OutputClaudeStreamJSON
	s.config.Model = "claude-sonnet-4-5"
	s.config.Env = []contract.EnvVar{{Name: "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", Value: "1"}, {Name: "CLAUDE_CODE_MAX_RETRIES", Value: "2"}}
	s.config.Credentials[0].Env[1].Value = "$(BASE_URL)"
	r := s.with(contract.Repository{URL: o.url, Path: "calculator", PushBranch: "sandkeep/fix"}).run()
	wantSuccess(t, r)
	if want := "Repaired subtract in calculator.sh; test.sh says that all tests passed."; r.Summary != want {
		t.Errorf("summary %q, want %q", r.Summary, want)
	}
	if got := o.git("diff", "--stat", "main..sandkeep/fix"); !strings.Contains(got, "calculator.sh | 2 +-") {
		t.Errorf("pushed %q", got)
	}
	if r.Usage.Requests != 4 || r.Usage.OutputTokens == 0 {
		t.Errorf("usage %+v", r.Usage)
	}
}
