package sandboxd_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/agenttest"
)

func TestSuccessNeedsEvidence(t *testing.T) {
	tests := map[string]struct {
		kind, prompt string
		class        contract.FailureClass
	}{
		"an answer":                         {"text", "say hello", ""},
		"a change without a word":           {"text", "write new.txt x", ""},
		"a commit without a word":           {"text", "sh git commit -q --allow-empty -m x", ""},
		"nothing by text":                   {"text", "", contract.AgentSilent},
		"nothing by ACP":                    {"acp", "", contract.AgentSilent},
		"the prompt by text":                {"text", "echo", contract.AgentSilent},
		"the prompt by ACP":                 {"acp", "echo", contract.AgentSilent},
		"thoughts by ACP":                   {"acp", "think", contract.AgentSilent},
		"an ignored file":                   {"text", "sh echo x >.git/info.tmp", contract.AgentSilent},
		"an answer and a bad end":           {"text", "say hello\nexit 1", contract.AgentCrashed},
		"a change, and an end in the midst": {"acp", "write new.txt x\nexit 2", contract.AgentCrashed},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrigin(t)
			s := newSandbox(t, tt.kind, tt.prompt).with(contract.Repository{URL: o.url, Path: "app"})
			r := s.run()
			if tt.class == "" {
				wantSuccess(t, r)
				return
			}
			wantFailure(t, r, tt.class)
		})
	}
}

func TestTheConfigurationMustBeTheOneOfThePod(t *testing.T) {
	t.Parallel()
	tests := map[string]func(s *sandbox){
		"another digest": func(s *sandbox) { s.env = append(s.env, contract.ConfigDigestEnv+"="+contract.Digest([]byte("x"))) },
		"no digest":      func(s *sandbox) { s.env = append(s.env, contract.ConfigDigestEnv+"=") },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t, "text", "say hello")
			change(s)
			wantFailure(t, s.run(), contract.AgentCrashed, "not the one that its pod was made for")
			if strings.Contains(s.out.String(), "hello") {
				t.Error("the agent was started")
			}
		})
	}
}

func TestCloneFailureIsReported(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	s := newSandbox(t, "text", "say hello").with(contract.Repository{URL: o.url + "x", Path: "app"})
	wantFailure(t, s.run(), contract.CloneFailed, "does not exist; check the URL")
	if strings.Contains(s.out.String(), "hello") {
		t.Error("the agent was started")
	}
}

func TestAMissingKeyIsReported(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, "text", "say hello")
	s.config.Credentials = []contract.Credential{{Provider: "anthropic", Delivery: contract.DeliveryFile, SecretName: "team", SecretKey: "k"}}
	wantFailure(t, s.run(), contract.ProviderAuthenticationFailed, `check key "k" of Secret "team"`)
}

func TestRejectedPush(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	s := newSandbox(t, "text", "say done\nwrite x x")
	s.with(contract.Repository{URL: strings.Replace(o.url, "/demo/", "/readonly/", 1), Path: "app", PushBranch: "b"})
	r := s.run()
	wantFailure(t, r, contract.PushRejected, "app: the server refused the push, pre-receive hook declined")
	if !r.PushStarted || !r.UnsavedChanges || len(r.Commits) != 1 || r.Commits[0].Pushed || r.Summary != "done" {
		t.Errorf("report %+v", r)
	}
}

func TestTheAgentsFailureComesFirstAndItsWorkIsSavedNevertheless(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	s := newSandbox(t, "text", "write x x\nstderr it broke\nexit 3").with(contract.Repository{URL: o.url, Path: "app", PushBranch: "b"})
	r := s.run()
	wantFailure(t, r, contract.AgentCrashed, "exit code 3: it broke")
	if len(r.Commits) != 1 || !r.Commits[0].Pushed || o.git("show", "b:x") != "x" {
		t.Errorf("report %+v", r)
	}
}

// TestTheAgentsEnvironment: one credential, none of sandboxd's own variables, and the folder of the one repository.
func TestTheAgentsEnvironment(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, "text", "sayenv TOKEN_X\nsayenv SANDKEEP_API_KEY_0\nsayenv SANDKEEP_CONFIG_DIGEST\nsayenv OTHER_KEY\nsayenv PWD\nsayenv HOME\nsayfile $HOME/.agent/auth")
	s.config.Credentials = []contract.Credential{{
		Provider: "x", Delivery: contract.DeliveryEnv,
		Env: []contract.EnvVar{{Name: "TOKEN_X", Value: "token-of-$(API_KEY)-here"}}, Files: []contract.FileSpec{{Path: ".agent/auth", Content: "at $(BASE_URL)"}},
		BaseURL: "https://api.example/",
	}}
	s.config.UnsetEnv = []string{"OTHER_KEY", "TOKEN_X"}
	s.env = []string{"SANDKEEP_API_KEY_0=" + deliveredKey, "OTHER_KEY=from-the-image"}
	r := s.run()
	wantSuccess(t, r)
	want := "TOKEN_X=token-of-[redacted]-here\nSANDKEEP_API_KEY_0=\nSANDKEEP_CONFIG_DIGEST=\nOTHER_KEY=\nPWD=" + s.dirs.Workspace + "\nHOME=" + s.dirs.Home + "\nat https://api.example<nil>"
	if got := strings.ReplaceAll(r.Summary, "PWD=\n", "PWD="+s.dirs.Workspace+"\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestNoKeyLeaves: not by the log, not by the report, not by a commit, however the agent writes it.
func TestNoKeyLeaves(t *testing.T) {
	forms := map[string]string{
		"plain":                      deliveredKey,
		"base64":                     base64.StdEncoding.EncodeToString([]byte("x" + deliveredKey + "yz")),
		"behind a control sequence":  deliveredKey[:9] + `\x1b[1m` + deliveredKey[9:],
		"behind an invisible letter": deliveredKey[:9] + `\u200b` + deliveredKey[9:],
		"on two lines":               deliveredKey[:9] + `\n` + deliveredKey[9:],
	}
	for name, form := range forms {
		for _, kind := range []string{"text", "acp"} {
			t.Run(name+" by "+kind, func(t *testing.T) {
				t.Parallel()
				o := newOrigin(t)
				s := newSandbox(t, kind, "say "+form+"\nwrite x x\nstderr "+form+"\nexit 1")
				s.config.Credentials = []contract.Credential{{Provider: "x", Delivery: contract.DeliveryEnv}}
				s.env = []string{"SANDKEEP_API_KEY_0=" + deliveredKey}
				s.with(contract.Repository{URL: o.url, Path: "app", PushBranch: "b"})
				r := s.run()
				text := strings.NewReplacer("\n", "", "stderr: ", "", " ", "").Replace(s.out.String() + r.Message + r.Summary + o.git("log", "--format=%B", "b"))
				for _, secret := range []string{deliveredKey, base64.StdEncoding.EncodeToString([]byte(deliveredKey))[4:20]} {
					if strings.Contains(text, secret) {
						t.Error("the key got out")
					}
				}
			})
		}
	}
}

func TestNoCommitWithAKeyIsPushed(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	s := newSandbox(t, "text", "say done\nwrite conf.yaml "+deliveredKey)
	s.config.Credentials = []contract.Credential{{Provider: "x", Delivery: contract.DeliveryEnv}}
	s.env = []string{"SANDKEEP_API_KEY_0=" + deliveredKey}
	s.with(contract.Repository{URL: o.url, Path: "app", PushBranch: "b"})
	r := s.run()
	wantFailure(t, r, contract.PushRejected, "a key that was given to the agent is in the file conf.yaml")
	if r.PushStarted || o.git("branch", "--list", "b") != "" {
		t.Error("something was pushed")
	}
}

func TestReportTextNone(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, "text", "say my own words")
	s.config.ReportText = contract.ReportTextNone
	r := s.run()
	wantSuccess(t, r)
	if r.Summary != "" {
		t.Errorf("the report has %q", r.Summary)
	}
}

func TestAReportFitsItsLimit(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, "text", "say "+strings.Repeat("word ", 2000)+"\nstderr "+strings.Repeat("error ", 2000)+"\nexit 1")
	s.config.ReportLimit = 700
	wantFailure(t, s.run(), contract.AgentCrashed)
	if stat, err := os.Stat(s.dirs.TerminationLog); err != nil || stat.Size() > 700 {
		t.Errorf("%v, %v", stat, err)
	}
}

// TestReadiness: ready while the agent is at work, and at no other time.
func TestReadiness(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, "text", "say working\nhang")
	s.start()
	s.waitFor("the agent", func() bool { return exists(filepath.Join(s.dirs.Private, "ready")) })
	if !s.dirs.IsReady() {
		t.Error("not ready while the agent works")
	}
	s.stop()
	wantFailure(t, s.end(), contract.Stopped)
	if s.dirs.IsReady() {
		t.Error("ready after the end")
	}
}

// TestSIGTERMWhileAPushHangs: the grace period ends the wait, and the report says that the work is still in the workspace.
func TestSIGTERMWhileAPushHangs(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	pushing, done := make(chan struct{}, 1), make(chan struct{})
	target, err := url.Parse(o.url)
	must(t, err)
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: target.Scheme, Host: target.Host})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.String(), "receive-pack") {
			pushing <- struct{}{}
			<-done
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(done) })
	s := newSandbox(t, "text", "write work x").with(contract.Repository{URL: server.URL + target.Path, Path: "app", PushBranch: "b"})
	s.config.GracePeriod = 10
	s.start()
	<-pushing
	begin := time.Now()
	s.stop()
	r := s.end()
	if took := time.Since(begin); took > s.config.GracePeriod.Duration() {
		t.Errorf("the end took %s", took)
	}
	wantFailure(t, r, contract.Stopped, "app: the push was stopped")
	if !r.PushStarted || !r.UnsavedChanges || len(r.Commits) != 1 || r.Commits[0].Pushed {
		t.Errorf("report %+v", r)
	}
}

// TestI11SIGTERM stops every kind of agent in time, and brings its work home.
func TestI11SIGTERM(t *testing.T) {
	tests := map[string]struct{ kind, prompt string }{
		"a text agent":               {"text", "write work x\nwrite ready x\nhang"},
		"an agent that ignores it":   {"text", "stubborn\nwrite work x\nwrite ready x\nhang"},
		"an ACP agent that obeys":    {"acp", "write work x\nwrite ready x\nawait-cancel"},
		"an ACP agent that does not": {"acp", "stubborn\nwrite work x\nwrite ready x\nhang"},
		"an agent with a daemon":     {"text", "daemon pid\nwrite work x\nwrite ready x\nhang"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrigin(t)
			s := newSandbox(t, tt.kind, tt.prompt).with(contract.Repository{URL: o.url, Path: "app", PushBranch: "b"})
			s.config.GracePeriod = 16
			s.start()
			s.waitFor("the agent", func() bool { return exists(filepath.Join(s.dirs.Workspace, "app/ready")) })
			begin := time.Now()
			s.stop()
			r := s.end()
			if took := time.Since(begin); took > s.config.GracePeriod.Duration() {
				t.Errorf("the end took %s", took)
			}
			wantFailure(t, r, contract.Stopped, "asked to stop")
			if r.UnsavedChanges || len(r.Commits) != 1 || !r.Commits[0].Pushed || o.git("show", "b:work") != "x" {
				t.Errorf("report %+v", r)
			}
		})
	}
}

func TestI11SIGTERMWithoutAPushBranchSaysWhatIsUnsaved(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	s := newSandbox(t, "text", "write work x\nwrite ready x\nhang").with(contract.Repository{URL: o.url, Path: "app"})
	s.config.KeepWorkspace = true
	s.start()
	s.waitFor("the agent", func() bool { return exists(filepath.Join(s.dirs.Workspace, "app/ready")) })
	s.stop()
	r := s.end()
	wantFailure(t, r, contract.Stopped, "there is work in the workspace that was not pushed")
	if !r.UnsavedChanges || r.PushStarted {
		t.Errorf("report %+v", r)
	}
}

func TestSIGTERMDuringTheClone(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	s := newSandbox(t, "text", "say hello").with(contract.Repository{URL: strings.Replace(o.url, "/demo/", "/hang/", 1), Path: "app"})
	s.start()
	s.waitFor("the clone", func() bool { return exists(filepath.Join(s.dirs.Workspace, ".sandkeep-clone")) })
	s.stop()
	wantFailure(t, s.end(), contract.Stopped, "before the agent was started")
}

// TestNoProcessIsLeft: daemons that leave the agent's session and hold its streams are ended with it, and reaped.
func TestNoProcessIsLeft(t *testing.T) {
	for _, kind := range []string{"text", "acp"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := newSandbox(t, kind, "daemon pid\nsay done")
			wantSuccess(t, s.run())
			if pid := s.pidOf("pid"); syscall.Kill(pid, 0) == nil {
				t.Errorf("process %d is still there", pid)
			}
		})
	}
}

// pidOf is the process id that the agent wrote into a file of the workspace.
func (s *sandbox) pidOf(file string) int {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dirs.Workspace, file))
	must(s.t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	must(s.t, err)
	return pid
}

// TestOrphansAreReaped: a thousand orphans leave no zombie while the agent works, and no command of ours loses its exit code.
func TestOrphansAreReaped(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	script := "sh for i in $(seq 300); do (sh -c 'exit 3' &) ; done; wait\nwrite done x\nhang"
	s := newSandbox(t, "text", script).with(contract.Repository{URL: o.url, Path: "app", PushBranch: "b"})
	s.start()
	s.waitFor("the agent", func() bool { return exists(filepath.Join(s.dirs.Workspace, "app/done")) })
	s.waitFor("the orphans to be reaped", func() bool { return zombies(t, s.cmd.Process.Pid) == 0 })
	s.stop()
	r := s.end()
	wantFailure(t, r, contract.Stopped)
	if len(r.Commits) != 1 || !r.Commits[0].Pushed {
		t.Errorf("report %+v", r)
	}
}

// zombies counts the dead children of a process that nobody has reaped.
func zombies(t *testing.T, parent int) int {
	t.Helper()
	out, err := exec.Command("ps", "-o", "stat=", "--ppid", strconv.Itoa(parent)).Output()
	if err != nil && len(out) > 0 {
		t.Fatal(err)
	}
	return strings.Count(string(out), "Z")
}

// TestTheReportSurvivesTheSandbox: one that is killed from outside has said already that it was cut short.
func TestTheReportSurvivesTheSandbox(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, "text", "sh echo $PPID >pid\nwrite ready x\nhang")
	s.start()
	s.waitFor("the agent", func() bool { return exists(filepath.Join(s.dirs.Workspace, "ready")) })
	must(t, s.cmd.Process.Kill())
	must(t, syscall.Kill(s.pidOf("pid"), syscall.SIGKILL)) // nobody else ends it now
	wantFailure(t, s.end(), contract.AgentCrashed, "ended before it could report")
}

// TestTheAgentCannotReadSandboxd: not its environment, which holds keys of providers that the agent has no use for. It is
// tried without root's rights, as in a real sandbox; the agent's own environment can be read, which shows that the test can fail.
func TestTheAgentCannotReadSandboxd(t *testing.T) {
	if exec.Command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "true").Run() != nil {
		t.Skip("needs leave to become another user")
	}
	t.Parallel()
	s := newSandbox(t, "text", "sh cat /proc/$PPID/environ >own\nsh ! cat /proc/$(ps -o ppid= -p $PPID | tr -d ' ')/environ >its\nsay could not")
	s.asNobody()
	r := s.run()
	wantSuccess(t, r)
	own, err := os.ReadFile(filepath.Join(s.dirs.Workspace, "own"))
	must(t, err)
	its, err := os.ReadFile(filepath.Join(s.dirs.Workspace, "its"))
	must(t, err)
	if len(own) == 0 || len(its) != 0 {
		t.Errorf("read of itself %q, of sandboxd %q", own, its)
	}
}

// asNobody runs sandbox and agent as a user without rights, from a copy of this test's binary that the user can reach.
func (s *sandbox) asNobody() {
	s.t.Helper()
	self, err := os.Executable()
	must(s.t, err)
	s.self = filepath.Join(s.root, "self")
	for _, args := range [][]string{{"cp", self, s.self}, {"chmod", "755", s.self}, {"chmod", "755", filepath.Dir(s.root)}, {"chown", "-R", "65534:65534", s.root}} {
		must(s.t, exec.Command(args[0], args[1:]...).Run())
	}
	s.config.Agent.Command[0] = s.self
	s.wrap = []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"}
}

func TestOutOfMemoryIsReported(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, "text", "")
	events := filepath.Join(s.dirs.Cgroup, "memory.events")
	must(t, os.WriteFile(events, []byte("low 0\noom 3\noom_kill 1\n"), 0o644))
	s.config.Prompt = "sh printf 'low 0\\noom 4\\noom_kill 2\\n' >" + events + "\ndie"
	wantFailure(t, s.run(), contract.OutOfMemory, "raise the memory limit")
}

func TestSeveralRepositories(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	s := newSandbox(t, "text", "say done\nwrite one/x 1\nwrite two/x 2")
	s.with(contract.Repository{URL: o.url, Path: "one", PushBranch: "b1"}).with(contract.Repository{URL: o.url, Path: "two", PushBranch: "b2"})
	r := s.run()
	wantSuccess(t, r)
	if len(r.Commits) != 2 || o.git("show", "b1:x")+o.git("show", "b2:x") != "12" {
		t.Errorf("report %+v", r)
	}
}

func TestAnImageWithoutTheAgent(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, "text", "x")
	s.config.Agent.Command = []string{"no-such-agent"}
	wantFailure(t, s.run(), contract.AgentCrashed, `The image has no program "no-such-agent"; use an image that has it`)
}

// TestTenMegabytesCostNoMemory: a line of 10 MB in each format is got over, and stays out of the report.
func TestTenMegabytesOnOneLine(t *testing.T) {
	for _, output := range []contract.Output{contract.OutputText, contract.OutputOpenCodeJSON, contract.OutputClaudeStreamJSON, contract.OutputCodexJSON} {
		t.Run(string(output), func(t *testing.T) {
			t.Parallel()
			s := newSandbox(t, "text", "long 10485760\nsay {\"type\":\"text\",\"part\":{\"text\":\"x\"}}\nwrite done x")
			s.config.Agent.Output = output
			o := newOrigin(t)
			wantSuccess(t, s.with(contract.Repository{URL: o.url, Path: "app"}).run())
		})
	}
}

// TestThePromptStaysOutOfSight: neither the arguments of any process nor the log show it.
func TestThePromptStaysOutOfSight(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, "text", "write ready x\nsay visible\nhang\n\ncanary-in-the-prompt")
	s.config.Agent.Command = agenttest.Command("text")
	s.start()
	s.waitFor("the agent", func() bool { return exists(filepath.Join(s.dirs.Workspace, "ready")) })
	out, err := exec.Command("ps", "-eo", "args").Output()
	must(t, err)
	s.stop()
	s.end()
	if strings.Contains(string(out)+s.out.String(), "canary-in-the-prompt") {
		t.Error("the prompt can be seen")
	}
}

// TestPID1 runs a sandbox as PID 1 of a namespace of its own, with an agent that tries to get rid of it.
func TestPID1(t *testing.T) {
	if err := exec.Command("unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "true").Run(); err != nil {
		t.Skip("needs leave to make a namespace: ", err)
	}
	t.Parallel()
	o := newOrigin(t)
	s := newSandbox(t, "text", "daemon pid\nsh kill -KILL 1\nsh for i in 1 2 3 4 5; do (setsid sh -c 'sleep 0.01' &) ; done\nsay still here\nwrite work x")
	s.wrap = []string{"unshare", "--pid", "--fork", "--mount-proc", "--kill-child"}
	r := s.with(contract.Repository{URL: o.url, Path: "app", PushBranch: "b"}).run()
	wantSuccess(t, r)
	if r.Summary != "still here" || len(r.Commits) != 1 || !r.Commits[0].Pushed {
		t.Errorf("report %+v", r)
	}
}
