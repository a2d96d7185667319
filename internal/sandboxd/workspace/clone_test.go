package workspace

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sandkeep/sandkeep/internal/contract"
)

func TestCloneStartsWhereTheRefSays(t *testing.T) {
	b := newBench(t)
	main := b.origin("rev-parse main")
	b.origin("branch stable main")
	b.origin("tag v1 main")
	b.origin("-c user.name=x -c user.email=x@x tag -a v2 -m two main")
	pull := b.origin("-c user.name=x -c user.email=x@x commit-tree -p main -m pull main^{tree}")
	b.origin("update-ref refs/pull/1/head " + pull)
	tests := map[string]struct{ ref, commit, head string }{
		"the default branch":        {"", main, "refs/heads/main"},
		"a branch":                  {"stable", main, "refs/heads/stable"},
		"a branch by its full name": {"refs/heads/stable", main, "refs/heads/stable"},
		"a tag":                     {"v1", main, ""},
		"an annotated tag":          {"refs/tags/v2", main, ""},
		"a commit":                  {main, main, ""},
		"the beginning of a commit": {main[:9], main, ""},
		"a ref that is no branch":   {"refs/pull/1/head", pull, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b.t = t
			r := b.demo()
			r.Ref, r.Path = tt.ref, strings.ReplaceAll(name, " ", "-")
			c := b.mustClone(r)
			if c.Base != tt.commit {
				t.Errorf("base %s, want %s", c.Base, tt.commit)
			}
			if got := b.sh(c, "git rev-parse HEAD && git status --porcelain && ls calculator.sh"); got != tt.commit+"\ncalculator.sh" {
				t.Errorf("checked out %q", got)
			}
			if got := b.sh(c, "git symbolic-ref -q HEAD || true"); got != tt.head {
				t.Errorf("on %q, want %q", got, tt.head)
			}
			b.sh(c, "git fetch && git commit --allow-empty -m 'an agent can commit'")
		})
	}
}

func TestCloneFailures(t *testing.T) {
	b := newBench(t)
	page := stub(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "<html>") })
	broken := stub(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	forbidden := stub(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	free, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, free.Close())
	tests := map[string]struct{ url, ref, want string }{
		"a missing repository":      {b.server + "/demo/nothing.git", "", "/demo/nothing.git does not exist; check the URL"},
		"a repository with a login": {b.server + "/private/calculator.git", "", "needs a login, or does not exist"},
		"a host without a name":     {"http://no-such-host.invalid/x.git", "", "its host name does not resolve"},
		"nobody listening":          {"http://" + free.Addr().String() + "/x.git", "", "cannot be reached"},
		"a web page":                {page + "/x.git", "", "is not a git repository"},
		"a broken server":           {broken + "/x.git", "", "has a problem of its own"},
		"a forbidden repository":    {forbidden + "/x.git", "", "may not be read from here"},
		"a missing ref":             {b.server + "/demo/calculator.git", "no-such", `has no branch, tag or commit "no-such"; correct the ref`},
		"a missing commit":          {b.server + "/demo/calculator.git", strings.Repeat("ab", 20), "has no branch, tag or commit"},
		"a file":                    {"file:///etc", "", "cannot be cloned"},
		"a command":                 {"ext::sh -c touch% /tmp/x", "", "cannot be cloned"},
		"another protocol":          {"ssh://git@host.example/x.git", "", "only http and https"},
		"a login in the URL":        {"http://user:hunter2@host.example/x.git?token=hunter3", "", "http://host.example/x.git cannot be cloned: it holds a login"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := b.Clone(t.Context(), contract.Repository{URL: tt.url, Ref: tt.ref, Path: "app"})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter") {
				t.Errorf("a secret is in %q", err)
			}
			if entries, _ := os.ReadDir(b.Dir); len(entries) != 0 {
				t.Errorf("left behind: %v", entries)
			}
		})
	}
}

func TestCloneTimesOut(t *testing.T) {
	b := newBench(t)
	b.Timeout = 300 * time.Millisecond
	_, err := b.Clone(t.Context(), contract.Repository{URL: b.server + "/hang/x.git", Path: "app"})
	if err == nil || !strings.Contains(err.Error(), "was not done within 300ms") {
		t.Errorf("got %v", err)
	}
}

func TestCloneIsStopped(t *testing.T) {
	b := newBench(t)
	_, err := b.Clone(cancelled(), b.demo())
	if err == nil || !strings.Contains(err.Error(), "was stopped") {
		t.Errorf("got %v", err)
	}
}

func TestCloneWithoutGit(t *testing.T) {
	b := newBench(t)
	b.Path = t.TempDir()
	_, err := b.Clone(t.Context(), b.demo())
	if err == nil || !strings.Contains(err.Error(), "The image has no git") {
		t.Errorf("got %v", err)
	}
}

func TestCloneOfARepositoryWithoutCommits(t *testing.T) {
	b := newBench(t)
	shell(t, b.origins, "git init -q --bare demo/empty.git && git -C demo/empty.git config http.receivepack true")
	c := b.mustClone(contract.Repository{URL: b.server + "/demo/empty.git", Path: "app", PushBranch: branch})
	if s := b.save(c); s.Worked || s.Unsaved || s.Problem != "" || b.pushes > 0 {
		t.Errorf("nothing was done: %+v", s)
	}
	b.sh(c, "echo first >README")
	s := b.save(c)
	if s.Problem != "" || !s.Commit.Pushed {
		t.Errorf("got %+v", s)
	}
	if got := shell(t, b.origins, "git -C demo/empty.git show "+branch+":README"); got != "first" {
		t.Errorf("pushed %q", got)
	}
}

// TestCloneStaysInTheWorkspace: neither a path nor a link in a repository that was cloned before leads out of it.
func TestCloneStaysInTheWorkspace(t *testing.T) {
	b := newBench(t)
	b.mustClone(contract.Repository{URL: b.server + "/hostile/traps.git", Path: "traps"})
	must(t, os.Mkdir(filepath.Join(b.Dir, "elsewhere"), 0o755))
	must(t, os.Symlink("../elsewhere", filepath.Join(b.Dir, "traps/sideways")))
	for _, path := range []string{"traps/sideways/out", "../out", "/etc/out", ".", "traps/outside/out", "traps/passwd", "traps/itself/x", "traps"} {
		r := b.demo()
		r.Path = path
		if _, err := b.Clone(t.Context(), r); err == nil {
			t.Errorf("a clone went to %s", path)
		}
	}
	b.noTrap()
	r := b.demo()
	r.Path = "traps/deep/inside"
	if c := b.mustClone(r); c.Dir != filepath.Join(b.Dir, "traps/deep/inside") {
		t.Errorf("cloned to %s", c.Dir)
	}
}

// TestCloneReadsNobodysConfiguration: neither the user's, nor the system's, nor what the environment brings.
func TestCloneReadsNobodysConfiguration(t *testing.T) {
	b := newBench(t)
	home := t.TempDir()
	trap := func(name string) string { return "touch " + filepath.Join(b.canaries, name) }
	config := fmt.Sprintf("[filter \"trap\"]\n\tsmudge = %s; cat\n\tclean = %s; cat\n[core]\n\tfsmonitor = %s\n[credential]\n\thelper = !%s\n",
		trap("smudge"), trap("clean"), trap("fsmonitor"), trap("helper"))
	must(t, os.WriteFile(filepath.Join(home, ".gitconfig"), []byte(config), 0o644))
	b.Environ = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, "GIT_CONFIG_GLOBAL="+filepath.Join(home, ".gitconfig"),
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=include.path", "GIT_CONFIG_VALUE_0="+filepath.Join(home, ".gitconfig"),
		"GIT_SSH_COMMAND="+trap("ssh"), "GIT_ASKPASS="+trap("askpass"), "GIT_DIR=/nonsense", "GIT_TEMPLATE_DIR="+home)
	c := b.mustClone(contract.Repository{URL: b.server + "/hostile/traps.git", Path: "traps", PushBranch: branch})
	b.sh(c, "echo more >notes.txt; touch x.bin; git -C . add -A")
	if s := b.save(c); s.Problem != "" || !s.Commit.Pushed {
		t.Errorf("got %+v", s)
	}
	_, _ = b.Clone(t.Context(), contract.Repository{URL: b.server + "/private/calculator.git", Path: "private"})
	b.noTrap()
}

func TestASecondRunGoesOnFromThePushBranch(t *testing.T) {
	b := newBench(t)
	c := b.mustClone(b.demo())
	b.sh(c, "echo one >one")
	first := b.save(c)
	b.wantPushed(c, first)
	must(t, os.RemoveAll(c.Dir))

	b.Run = 2
	c = b.mustClone(b.demo())
	if c.Base != first.Commit.Commit {
		t.Errorf("base %s, want the first run's %s", c.Base, first.Commit.Commit)
	}
	if s := b.save(c); s.Worked || s.Unsaved || s.Commit.Commit != "" || s.Problem != "" {
		t.Errorf("the second run did nothing: %+v", s)
	}
	b.sh(c, "echo two >two")
	b.wantPushed(c, b.save(c))
}

func TestAKeptWorkspaceIsKept(t *testing.T) {
	b := newBench(t)
	c := b.mustClone(b.demo())
	b.sh(c, "echo committed >a && git add a && git commit -qm a && echo uncommitted >b")
	b.Keep, b.Run = true, 2
	kept := b.mustClone(b.demo())
	if !kept.Kept || b.sh(kept, "cat a b") != "committed\nuncommitted" {
		t.Fatalf("not kept: %+v", kept)
	}
	s := b.save(kept)
	if got := b.origin("show " + branch + ":b"); got != "uncommitted" || !s.Commit.Pushed || s.Unsaved || s.Problem != "" {
		t.Errorf("pushed %q: %+v", got, s)
	}
	if s.Worked {
		t.Error("what an earlier run left is no evidence of this one's work")
	}
}

func TestAKeptWorkspaceHasNoPlaceForOthers(t *testing.T) {
	tests := map[string]struct{ command, want string }{
		"another repository": {"git config remote.origin.url http://host.example/other.git", "is a clone of another repository"},
		"no repository":      {"rm -rf .git", "its .git directory is gone"},
		"a link":             {"mv .git ../elsewhere && ln -s ../elsewhere .git", "no longer a directory"},
		"included address":   {"git config --unset remote.origin.url; printf '[remote \"origin\"]\\nurl=%s\\n' URL >.git/more; git config include.path more", "another repository"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			c := b.mustClone(b.demo())
			b.sh(c, strings.ReplaceAll(tt.command, "URL", c.URL))
			b.Keep = true
			if _, err := b.Clone(t.Context(), b.demo()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			b.Keep = false
			if _, err := b.Clone(t.Context(), b.demo()); err == nil || !strings.Contains(err.Error(), "is not empty") {
				t.Errorf("without keep: %v", err)
			}
		})
	}
}
