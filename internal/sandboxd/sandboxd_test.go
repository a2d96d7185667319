package sandboxd_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd"
	"github.com/sandkeep/sandkeep/internal/sandboxd/agenttest"
	"github.com/sandkeep/sandkeep/test/fixtures/gitserver"
)

// rootEnv makes this test binary be sandboxd, with its directories below the given one.
const rootEnv = "TEST_SANDBOX_ROOT"

func TestMain(m *testing.M) {
	agenttest.Main()
	if root := os.Getenv(rootEnv); root != "" {
		dirs := sandboxd.SandboxDirs(root)
		dirs.Door = "127.0.0.1:0" // the port of a pod's own network is this machine's here
		os.Exit(sandboxd.Serve(dirs, os.Environ(), os.Stdout, time.Now))
	}
	os.Exit(m.Run())
}

// sandbox is a sandbox on this machine: the directories of a pod below a temporary one.
type sandbox struct {
	t      *testing.T
	root   string
	dirs   sandboxd.Dirs
	config contract.Config
	env    []string
	// self is the program that is sandboxd: this test's binary, or a copy of it.
	self string
	// wrap are the words of a program that runs the sandbox.
	wrap []string
	out  bytes.Buffer
	cmd  *exec.Cmd
}

// newSandbox is a sandbox whose agent plays the prompt as a script; see package agenttest.
func newSandbox(t *testing.T, kind, prompt string) *sandbox {
	t.Helper()
	root := t.TempDir()
	self, err := os.Executable()
	must(t, err)
	s := &sandbox{t: t, root: root, self: self, dirs: sandboxd.SandboxDirs(root)}
	for _, dir := range []string{s.dirs.Config, s.dirs.Private, s.dirs.Workspace, s.dirs.Home, s.dirs.Tmp, s.dirs.Cgroup, filepath.Dir(s.dirs.TerminationLog)} {
		must(t, os.MkdirAll(dir, 0o755))
	}
	s.config = contract.Config{
		Session:      contract.SessionRef{Namespace: "team-a", Name: "fix-login", UID: "u-1", Run: 1},
		Prompt:       prompt,
		Agent:        contract.Agent{Protocol: contract.ProtocolCommand, Output: contract.OutputText, Command: agenttest.Command(kind), Permissions: contract.PermissionsAllow},
		LogFormat:    contract.LogFormatText,
		ReportText:   contract.ReportTextFull,
		ReportLimit:  4096,
		GracePeriod:  30,
		CloneTimeout: 30,
	}
	if kind == "acp" {
		s.config.Agent.Protocol = contract.ProtocolACP
	}
	return s
}

// with adds a repository.
func (s *sandbox) with(r contract.Repository) *sandbox {
	s.config.Repositories = append(s.config.Repositories, r)
	return s
}

func (s *sandbox) start() {
	s.t.Helper()
	data, err := s.config.Encode()
	must(s.t, err)
	must(s.t, os.WriteFile(filepath.Join(s.dirs.Config, contract.ConfigFile), data, 0o644))
	words := append(append([]string{}, s.wrap...), s.self)
	s.cmd = exec.Command(words[0], words[1:]...)
	s.cmd.Env = append([]string{
		rootEnv + "=" + s.root, "PATH=" + os.Getenv("PATH"), contract.ConfigDigestEnv + "=" + contract.Digest(data), "TMPDIR=" + s.dirs.Tmp,
	}, s.env...)
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	s.cmd.WaitDelay = 10 * time.Second
	must(s.t, s.cmd.Start())
	s.t.Cleanup(func() { _ = s.cmd.Process.Kill() })
}

// end waits for the sandbox's end and reads its report.
func (s *sandbox) end() contract.Report {
	s.t.Helper()
	err := s.cmd.Wait()
	message, readErr := os.ReadFile(s.dirs.TerminationLog)
	must(s.t, readErr)
	report, decodeErr := contract.DecodeReport(string(message))
	if decodeErr != nil {
		s.t.Fatalf("no report: %v\n%s", decodeErr, s.out.String())
	}
	if (err == nil) != (report.Outcome == contract.OutcomeSucceeded) {
		s.t.Errorf("exit %v does not fit the outcome %s", err, report.Outcome)
	}
	s.t.Logf("transcript:\n%s\nreport: %s", s.out.String(), message)
	return report
}

func (s *sandbox) run() contract.Report {
	s.t.Helper()
	s.start()
	return s.end()
}

// waitFor waits until a condition holds.
func (s *sandbox) waitFor(what string, holds func() bool) {
	s.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(30 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-timeout:
			s.t.Fatalf("waited in vain for %s\n%s", what, s.out.String())
		}
	}
}

func (s *sandbox) stop() { must(s.t, s.cmd.Process.Signal(syscall.SIGTERM)) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func wantSuccess(t *testing.T, r contract.Report) {
	t.Helper()
	if r.Outcome != contract.OutcomeSucceeded {
		t.Fatalf("got %s %s: %s", r.Outcome, r.Class, r.Message)
	}
}

func wantFailure(t *testing.T, r contract.Report, class contract.FailureClass, words ...string) {
	t.Helper()
	if r.Outcome != contract.OutcomeFailed || r.Class != class {
		t.Errorf("got %s %s %q, want %s", r.Outcome, r.Class, r.Message, class)
	}
	for _, word := range words {
		if !strings.Contains(r.Message, word) {
			t.Errorf("the message %q does not say %q", r.Message, word)
		}
	}
}

// origin is a git server with one repository of the test's own.
type origin struct {
	t   *testing.T
	url string
}

func newOrigin(t *testing.T) origin {
	t.Helper()
	return origin{t, gitserver.Start(t, gitserver.Options{}) + "/demo/calculator.git"}
}

// git runs git on a bare copy of what the origin has now.
func (o origin) git(args ...string) string {
	o.t.Helper()
	dir := o.t.TempDir()
	run := func(args ...string) string {
		out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput()
		if err != nil {
			o.t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	run("clone", "--quiet", "--mirror", o.url, "copy.git")
	return strings.TrimSpace(run(append([]string{"--git-dir=copy.git"}, args...)...))
}

func TestTextAgentWorksAndItsWorkIsPushed(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	s := newSandbox(t, "text", "say I fixed it\nwrite fix.txt fixed")
	r := s.with(contract.Repository{URL: o.url, Path: "app", PushBranch: "sandkeep/fix"}).run()
	wantSuccess(t, r)
	if r.Summary != "I fixed it" {
		t.Errorf("summary %q", r.Summary)
	}
	if len(r.Commits) != 1 || !r.Commits[0].Pushed || r.Commits[0].Commit != o.git("rev-parse", "sandkeep/fix") {
		t.Errorf("commits %+v", r.Commits)
	}
	if got := o.git("show", "sandkeep/fix:fix.txt"); got != "fixed" {
		t.Errorf("pushed %q", got)
	}
	if got := o.git("log", "-1", "--format=%an <%ae> %s", "sandkeep/fix"); got != "Sandkeep <sandbox@sandkeep.dev> I fixed it" {
		t.Errorf("commit %q", got)
	}
	if r.UnsavedChanges || !r.PushStarted {
		t.Errorf("unsaved %v, push started %v", r.UnsavedChanges, r.PushStarted)
	}
}

func TestACPAgentWorksAndItsWorkIsPushed(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	s := newSandbox(t, "acp", "say First I look\ntool Edit fix.txt\nwrite fix.txt fixed\nsay Done\npermission\nmodel\n"+`usage {"inputTokens":7,"outputTokens":3,"totalTokens":10}`)
	s.config.Model = "large"
	r := s.with(contract.Repository{URL: o.url, Path: "app", PushBranch: "sandkeep/fix"}).run()
	wantSuccess(t, r)
	if r.Usage != (contract.Usage{InputTokens: 7, OutputTokens: 3}) {
		t.Errorf("usage %+v", r.Usage)
	}
	if want := "Done\nleave: once\nmodel=large"; r.Summary != want {
		t.Errorf("summary %q, want %q", r.Summary, want)
	}
	for _, line := range []string{"First I look\n", "[tool] execute completed: Edit fix.txt\n", "Cloning " + o.url + " into app\n"} {
		if !strings.Contains(s.out.String(), line) {
			t.Errorf("the transcript lacks %q", line)
		}
	}
	if got := o.git("show", "sandkeep/fix:fix.txt"); got != "fixed" {
		t.Errorf("pushed %q", got)
	}
}

// TestReportFile: what is left behind is one JSON object and no more, though a longer one was there before.
func TestReportIsWholeJSON(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, "text", "say hi")
	must(t, os.WriteFile(s.dirs.TerminationLog, bytes.Repeat([]byte("x"), 5000), 0o644))
	wantSuccess(t, s.run())
	data, err := os.ReadFile(s.dirs.TerminationLog)
	must(t, err)
	if !json.Valid(data) {
		t.Errorf("not JSON: %s", data)
	}
}
