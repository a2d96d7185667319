package workspace

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/process"
	"github.com/sandkeep/sandkeep/internal/sandboxd/redact"
	"github.com/sandkeep/sandkeep/test/fixtures/gitserver"
)

// bench is a workspace with a git server.
type bench struct {
	t *testing.T
	*Workspace
	server   string
	origins  string
	canaries string
	pushes   int
}

const branch = "sandkeep/work"

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, origins: t.TempDir(), canaries: t.TempDir()}
	b.server = gitserver.Start(t, gitserver.Options{Root: b.origins, CanaryDir: b.canaries})
	b.Workspace = &Workspace{
		Dir: t.TempDir(), Tmp: t.TempDir(), Run: 1, Timeout: 20 * time.Second, Path: os.Getenv("PATH"), Environ: os.Environ(),
		Redactor: redact.New(), Tree: process.NewTree(),
	}
	b.prepare()
	return b
}

func (b *bench) prepare() {
	b.t.Helper()
	must(b.t, b.Prepare())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// demo is the repository that anyone may use.
func (b *bench) demo() contract.Repository {
	return contract.Repository{URL: b.server + "/demo/calculator.git", Path: "app", PushBranch: branch}
}

func (b *bench) mustClone(r contract.Repository) *Clone {
	b.t.Helper()
	c, err := b.Clone(b.t.Context(), r)
	must(b.t, err)
	return c
}

// sh runs a command as an agent does: in the clone, with git's configuration as the clone has it.
func (b *bench) sh(c *Clone, command string) string {
	b.t.Helper()
	return shell(b.t, c.Dir, "set -e; "+command)
}

func shell(t *testing.T, dir, command string) string {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", command)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return strings.TrimSpace(string(out))
}

// origin runs git in the origin's own repository.
func (b *bench) origin(command string) string {
	b.t.Helper()
	return shell(b.t, filepath.Join(b.origins, "demo/calculator.git"), "git "+command)
}

// save is what happens after the agent has ended.
func (b *bench) save(c *Clone) Saved {
	b.t.Helper()
	b.CleanUp()
	b.prepare()
	return b.Save(b.t.Context(), c, "What the agent said\n", func() { b.pushes++ })
}

// noTrap fails when anything of the repository's or the agent's was run.
func (b *bench) noTrap() {
	b.t.Helper()
	entries, err := os.ReadDir(b.canaries)
	must(b.t, err)
	for _, entry := range entries {
		b.t.Errorf("the trap %s was sprung", entry.Name())
	}
}

// wantPushed fails unless everything was pushed.
func (b *bench) wantPushed(c *Clone, s Saved) {
	b.t.Helper()
	if s.Problem != "" || s.Unsaved || !s.Commit.Pushed || !s.Worked {
		b.t.Fatalf("not all was pushed: %+v", s)
	}
	if got := b.origin("rev-parse refs/heads/" + branch); got != s.Commit.Commit {
		b.t.Errorf("the origin has %s, reported is %s", got, s.Commit.Commit)
	}
	if status := b.sh(c, "git status --porcelain"); status != "" {
		b.t.Errorf("the workspace's own git sees changes after the push:\n%s", status)
	}
}

// wantProblem fails unless the work is reported as unsaved, with words that say why.
func (b *bench) wantProblem(s Saved, words ...string) {
	b.t.Helper()
	if !s.Unsaved || !s.Worked {
		b.t.Errorf("the work is not reported as unsaved: %+v", s)
	}
	for _, word := range words {
		if !strings.Contains(s.Problem, word) {
			b.t.Errorf("the problem %q does not say %q", s.Problem, word)
		}
	}
}

// stub is a server that is no git server.
func stub(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// cancelled is a context that has ended.
func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
