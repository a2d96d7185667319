package workspace

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/redact"
)

func TestEverythingThatAnAgentLeavesIsPushed(t *testing.T) {
	tests := map[string]struct{ command, show, want string }{
		"a new file":              {"echo new >new", "show BRANCH:new", "new"},
		"a file in a new folder":  {"mkdir -p a/b && echo new >a/b/c", "show BRANCH:a/b/c", "new"},
		"a changed file":          {"echo changed >README.md", "show BRANCH:README.md", "changed"},
		"a removed file":          {"rm README.md", "ls-tree --name-only BRANCH README.md", ""},
		"a renamed file":          {"mv README.md READ.me", "ls-tree --name-only BRANCH READ.me README.md", "READ.me"},
		"an executable file":      {"echo x >run && chmod +x run", "ls-tree '--format=%(objectmode)' BRANCH run", "100755"},
		"a link":                  {"ln -s /etc/passwd link", "show BRANCH:link", "/etc/passwd"},
		"odd names":               {"touch -- '-x' 'a b' 'q\"q' \"$(printf 'n\\nl')\"", "ls-tree -z --name-only BRANCH -- -x", "-x"},
		"what was staged":         {"echo s >staged && git add staged", "show BRANCH:staged", "s"},
		"a commit":                {"echo c >c && git add c && git commit -qm 'By the agent'", "log -1 --format=%s BRANCH", "By the agent"},
		"a commit and more":       {"echo c >c && git add c && git commit -qm 'By the agent' && echo d >c", "log -2 --format=%s BRANCH", "What the agent said\nBy the agent"},
		"a commit on a branch":    {"git checkout -qb topic && echo c >c && git add c && git commit -qm topic", "log -1 --format=%s BRANCH", "topic"},
		"a commit on no branch":   {"git checkout -q --detach && echo c >c && git add c && git commit -qm loose && echo d >d", "log -2 --format=%s BRANCH", "What the agent said\nloose"},
		"packed refs and objects": {"echo c >c && git add c && git commit -qm packed && git pack-refs --all && git gc -q", "log -1 --format=%s BRANCH", "packed"},
		"nothing that is ignored": {"echo '*.log' >.gitignore && touch x.log", "ls-tree --name-only BRANCH x.log", ""},
		"a merge of the origin's": {"echo c >c && git add c && git commit -qm c && git merge -q --no-ff -m merged HEAD~1 || true; echo e >e", "log -1 --format=%s BRANCH", "What the agent said"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			c := b.mustClone(b.demo())
			b.sh(c, tt.command)
			s := b.save(c)
			b.wantPushed(c, s)
			if got := strings.Trim(b.origin(strings.ReplaceAll(tt.show, "BRANCH", branch)), "\x00"); got != tt.want {
				t.Errorf("pushed %q, want %q", got, tt.want)
			}
			if b.origin("merge-base "+c.Base+" "+branch) != c.Base {
				t.Error("what was pushed is not built upon what was cloned")
			}
		})
	}
}

func TestNothingToPush(t *testing.T) {
	b := newBench(t)
	c := b.mustClone(b.demo())
	s := b.save(c)
	if s.Worked || s.Unsaved || s.Problem != "" || s.Commit.Commit != "" || b.pushes != 0 {
		t.Errorf("got %+v and %d pushes", s, b.pushes)
	}
	if got := b.origin("branch --list " + branch); got != "" {
		t.Errorf("the origin has %q", got)
	}
}

// TestWhatAnAgentDoesToGit: it is said, and what can be saved is saved.
func TestWhatAnAgentDoesToGit(t *testing.T) {
	tests := map[string]struct{ command, want string }{
		".git removed":                  {"rm -rf .git", "its .git directory is gone"},
		".git moved behind a link":      {"mv .git ../moved && ln -s ../moved .git", "no longer a directory of its own"},
		".git as a file":                {"mv .git ../moved && echo 'gitdir: ../moved' >.git", "no longer a directory of its own"},
		"objects behind a link":         {"mv .git/objects ../moved && ln -s ../../moved .git/objects", "no longer a directory of its own"},
		"objects removed":               {"rm -rf .git/objects", "damaged"},
		"objects emptied":               {"rm -rf .git/objects/*; mkdir -p .git/objects/pack", "damaged"},
		"HEAD removed":                  {"rm .git/HEAD", "damaged"},
		"HEAD as a pipe":                {"rm .git/HEAD && mkfifo .git/HEAD", "damaged"},
		"HEAD as a link":                {"mv .git/HEAD .git/H && ln -s H .git/HEAD", "damaged"},
		"HEAD of nonsense":              {"echo nonsense >.git/HEAD", "damaged"},
		"HEAD out of refs":              {"echo 'ref: refs/../../../x' >.git/HEAD", "damaged"},
		"HEAD at a missing commit":      {"printf '%040d' 5 >.git/HEAD", "damaged"},
		"HEAD at a tree":                {"t=$(git rev-parse 'HEAD^{tree}'); echo $t >.git/HEAD", "damaged"},
		"HEAD on an empty branch":       {"echo 'ref: refs/heads/nothing' >.git/HEAD", "damaged"},
		"the repository removed":        {"rm -rf ../app", "its directory is gone"},
		"the repository behind a link":  {"mv ../app ../other && ln -s other ../app", "its directory is gone"},
		"history rewritten":             {"git commit -q --amend -m rewritten", "not built upon the commit that was cloned"},
		"another history":               {"git checkout -q --orphan fresh && git commit -qm fresh", "not built upon the commit that was cloned"},
		"a repository inside":           {"git init -q inside && git -C inside -c user.name=x -c user.email=x@x commit -q --allow-empty -m x", "repositories inside it cannot be committed: inside"},
		"a repository without a commit": {"git init -q inside && touch inside/file", "repositories inside it cannot be committed: inside"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			c := b.mustClone(b.demo())
			b.sh(c, "echo work >work; "+tt.command)
			b.wantProblem(b.save(c), tt.want)
			if strings.Contains(name, "repository") && strings.Contains(tt.want, "inside") {
				if got := b.origin("ls-tree -r --name-only " + branch); !strings.Contains(got, "work") || strings.Contains(got, "inside") {
					t.Errorf("the rest was not pushed, or too much: %q", got)
				}
			} else if b.pushes != 0 {
				t.Error("something was pushed")
			}
		})
	}
}

// TestIgnoredRepositoriesInside are the agent's own affair: packages that it installed, say.
func TestIgnoredRepositoriesInside(t *testing.T) {
	b := newBench(t)
	c := b.mustClone(b.demo())
	b.sh(c, "echo deps/ >.gitignore; git init -q deps/inside; touch deps/inside/x")
	b.wantPushed(c, b.save(c))
}

// TestPatternsOfTheCloneAlone are honoured: agents hide their own files by them.
func TestPatternsOfTheCloneAlone(t *testing.T) {
	b := newBench(t)
	c := b.mustClone(b.demo())
	b.sh(c, "mkdir -p .git/info; echo .agent >.git/info/exclude; touch .agent; echo x >x")
	b.wantPushed(c, b.save(c))
	if got := b.origin("ls-tree --name-only " + branch); strings.Contains(got, ".agent") {
		t.Errorf("pushed %q", got)
	}
}

// TestHostileConfigurationIsNotRead: whatever an agent writes into .git, nothing of it is run and nothing goes elsewhere.
func TestHostileConfigurationIsNotRead(t *testing.T) {
	b := newBench(t)
	shell(t, b.origins, "git clone -q --mirror demo/calculator.git demo/evil.git && git -C demo/evil.git config http.receivepack true")
	c := b.mustClone(b.demo())
	trap := func(name string) string { return "touch " + filepath.Join(b.canaries, name) }
	evil := b.server + "/demo/evil.git"
	config := fmt.Sprintf(`
[core]
	fsmonitor = %[1]s; false
	hooksPath = .git/hooks
	sshCommand = %[2]s
	pager = %[2]s
	editor = %[2]s
	attributesFile = .git/evil-attributes
	excludesFile = /dev/null
[remote "origin"]
	url = %[3]s
	pushurl = %[3]s
	receivepack = %[2]s
[url "%[3]s"]
	insteadOf = %[4]s
	pushInsteadOf = %[4]s
[filter "trap"]
	clean = %[5]s; cat
	smudge = %[5]s; cat
	process = %[5]s
	required = true
[diff "trap"]
	command = %[5]s
	textconv = %[5]s
[merge "trap"]
	driver = %[5]s
[credential]
	helper = !%[2]s
[commit]
	gpgSign = true
[push]
	gpgSign = true
[gpg]
	program = %[2]s
[http]
	proxy = http://127.0.0.1:1
[uploadpack]
	packObjectsHook = %[2]s
[protocol "ext"]
	allow = always
[include]
	path = evil-include
`, trap("fsmonitor"), trap("program"), evil, c.URL, trap("filter"))
	dir := filepath.Join(c.Dir, ".git")
	must(t, os.WriteFile(filepath.Join(dir, "config"), []byte(config), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "evil-include"), []byte(config), 0o644))
	must(t, os.MkdirAll(filepath.Join(dir, "info"), 0o755))
	for _, file := range []string{filepath.Join(dir, "info/attributes"), filepath.Join(dir, "evil-attributes"), filepath.Join(c.Dir, ".gitattributes")} {
		must(t, os.WriteFile(file, []byte("* filter=trap diff=trap merge=trap\n"), 0o644))
	}
	must(t, os.MkdirAll(filepath.Join(dir, "hooks"), 0o755))
	for _, hook := range []string{"pre-commit", "commit-msg", "post-commit", "pre-push", "reference-transaction", "post-index-change", "post-checkout", "fsmonitor-watchman"} {
		must(t, os.WriteFile(filepath.Join(dir, "hooks", hook), []byte("#!/bin/sh\n"+trap("hook-"+hook)+"\n"), 0o755))
	}
	// Lies about the history: replaced and grafted commits, and a commit graph that is none.
	must(t, os.MkdirAll(filepath.Join(dir, "refs/replace"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "refs/replace", c.Base), []byte(strings.Repeat("a", 40)), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "info/grafts"), []byte(c.Base+"\n"), 0o644))
	must(t, os.MkdirAll(filepath.Join(dir, "objects/info"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "objects/info/commit-graph"), []byte("CGPH nonsense"), 0o644))
	must(t, os.WriteFile(filepath.Join(c.Dir, "work"), []byte("work"), 0o644))

	s := b.save(c)
	if s.Problem != "" || !s.Commit.Pushed {
		t.Fatalf("got %+v", s)
	}
	if got := b.origin("rev-parse " + branch); got != s.Commit.Commit {
		t.Errorf("the origin has %s, want %s", got, s.Commit.Commit)
	}
	if got := shell(t, b.origins, "git -C demo/evil.git branch --list "+branch); got != "" {
		t.Error("the work went elsewhere")
	}
	b.noTrap()
}

// TestSubmodulesAreNotLookedInto: the agent has filled a submodule's folder with a repository whose configuration is a trap.
func TestSubmodulesAreNotLookedInto(t *testing.T) {
	b := newBench(t)
	c := b.mustClone(contract.Repository{URL: b.server + "/hostile/traps.git", Path: "traps", PushBranch: branch})
	trap := "touch " + filepath.Join(b.canaries, "submodule-config")
	b.sh(c, `echo work >work
		rm -rf by-ext && git init -q by-ext && cd by-ext && touch x && git add x && git -c user.name=x -c user.email=x@x commit -qm x && echo y >x
		git config core.fsmonitor '`+trap+`; false'`)
	s := b.save(c)
	if s.Problem != "" || !s.Commit.Pushed {
		t.Errorf("got %+v", s)
	}
	if got := shell(t, filepath.Join(b.origins, "hostile/traps.git"), "git ls-tree "+branch+" by-ext"); !strings.Contains(got, strings.Repeat("1", 40)) {
		t.Errorf("the submodule was changed: %s", got)
	}
	b.noTrap()
}

func TestPushesAreRejected(t *testing.T) {
	t.Run("by the server", func(t *testing.T) {
		b := newBench(t)
		c := b.mustClone(contract.Repository{URL: b.server + "/readonly/calculator.git", Path: "app", PushBranch: branch})
		b.sh(c, "echo work >work")
		s := b.save(c)
		b.wantProblem(s, "the server refused the push, pre-receive hook declined")
		if s.Commit.Commit == "" || s.Commit.Pushed || b.sh(c, "git rev-parse HEAD") != s.Commit.Commit {
			t.Errorf("the commit is not kept in the workspace: %+v", s)
		}
	})
	t.Run("for a branch that went on", func(t *testing.T) {
		b := newBench(t)
		c := b.mustClone(b.demo())
		other := b.origin("-c user.name=x -c user.email=x@x commit-tree -p main -m other main^{tree}")
		b.origin("update-ref refs/heads/" + branch + " " + other)
		b.sh(c, "echo work >work")
		b.wantProblem(b.save(c), "choose another pushBranch")
		if got := b.origin("rev-parse " + branch); got != other {
			t.Errorf("the branch was overwritten with %s", got)
		}
	})
	t.Run("by a server that is gone", func(t *testing.T) {
		b := newBench(t)
		c := b.mustClone(b.demo())
		b.sh(c, "echo work >work")
		must(t, os.Rename(filepath.Join(b.origins, "demo"), filepath.Join(b.origins, "gone")))
		b.wantProblem(b.save(c), "the push failed")
	})
	t.Run("by the end of the grace period", func(t *testing.T) {
		b := newBench(t)
		c := b.mustClone(b.demo())
		b.sh(c, "echo work >work")
		if s := b.Save(cancelled(), c, "message", func() {}); !s.Unsaved || !s.Unseen || s.Worked || s.Problem == "" {
			t.Errorf("got %+v", s)
		}
	})
}

func TestWorkThatIsNotOnThePushedBranch(t *testing.T) {
	tests := map[string]string{
		"another branch":   "git checkout -qb side && echo s >s && git add s && git commit -qm side && git checkout -q main && echo m >m",
		"a stash":          "echo stashed >README.md && git stash -q && echo m >m",
		"a packed branch":  "git checkout -qb side && echo s >s && git add s && git commit -qm side && git checkout -q main && git pack-refs --all && echo m >m",
		"and nothing else": "git checkout -qb side && echo s >s && git add s && git commit -qm side && git checkout -q main",
	}
	for name, command := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			c := b.mustClone(b.demo())
			b.sh(c, command)
			if s := b.save(c); !s.Unsaved || s.Problem != "" {
				t.Errorf("got %+v", s)
			}
		})
	}
}

func TestWithoutAPushBranchTheWorkIsSeen(t *testing.T) {
	tests := map[string]struct {
		command         string
		worked, unsaved bool
	}{
		"nothing":               {"true", false, false},
		"an uncommitted change": {"echo x >x", true, true},
		"a commit":              {"echo x >x && git add x && git commit -qm x", true, true},
		"an ignored file":       {"mkdir -p .git/info; echo x >.git/info/exclude; echo x >x", false, false},
		"a commit on a branch":  {"git checkout -qb s && git commit -q --allow-empty -m x && git checkout -q main", false, true},
		"a push by the agent":   {"git commit -q --allow-empty -m x && git push -q origin HEAD:mine", true, true},
		"no .git any more":      {"rm -rf .git", true, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			r := b.demo()
			r.PushBranch = ""
			c := b.mustClone(r)
			b.sh(c, tt.command)
			s := b.save(c)
			if s.Worked != tt.worked || s.Unsaved != tt.unsaved || s.Commit.Pushed || b.pushes != 0 {
				t.Errorf("got %+v", s)
			}
		})
	}
}

func TestNoKeyIsPushed(t *testing.T) {
	const key = "sk-delivered-0123456789abcdef"
	encoded := base64.StdEncoding.EncodeToString([]byte("user:" + key))
	tests := map[string]struct{ command, want string }{
		"in a file":                   {"echo 'key: " + key + "' >conf.yaml", "the file conf.yaml"},
		"in base64":                   {"mkdir d; echo " + encoded + " >d/auth", "the file d/auth"},
		"in a commit's message":       {"git commit -q --allow-empty -m 'use " + key + "'", "the message of a commit"},
		"in a commit that is undone":  {"echo " + key + " >x && git add x && git commit -qm x && git rm -q x && git commit -qm y", "the file x"},
		"in a file's name":            {"touch " + key, "the name of a file"},
		"in an author's name":         {"git -c user.name=" + key + " commit -q --allow-empty -m x", "the message of a commit"},
		"across the border of chunks": {"head -c 65530 /dev/zero | tr '\\0' a >big; echo " + key + " >>big", "the file big"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.Redactor = redact.New(key)
			c := b.mustClone(b.demo())
			b.sh(c, tt.command)
			s := b.save(c)
			b.wantProblem(s, "a key that was given to the agent is in "+tt.want)
			if b.pushes != 0 || b.origin("branch --list "+branch) != "" {
				t.Error("it was pushed")
			}
		})
	}
	t.Run("what the origin has already does not count", func(t *testing.T) {
		b := newBench(t)
		b.Redactor = redact.New("calculator.sh add")
		c := b.mustClone(b.demo())
		b.sh(c, "echo x >x")
		b.wantPushed(c, b.save(c))
	})
}

func TestARepositoryOfSHA256(t *testing.T) {
	b := newBench(t)
	shell(t, b.origins, "git init -q --bare --object-format=sha256 demo/long.git && git -C demo/long.git config http.receivepack true")
	work := t.TempDir()
	shell(t, work, "git init -q --object-format=sha256 . && git -c user.name=x -c user.email=x@x commit -q --allow-empty -m first && git push -q "+
		filepath.Join(b.origins, "demo/long.git")+" HEAD:refs/heads/main && git -C "+filepath.Join(b.origins, "demo/long.git")+" symbolic-ref HEAD refs/heads/main")
	c := b.mustClone(contract.Repository{URL: b.server + "/demo/long.git", Path: "app", PushBranch: branch})
	b.sh(c, "echo x >x")
	if s := b.save(c); s.Problem != "" || !s.Commit.Pushed || len(s.Commit.Commit) != 64 {
		t.Errorf("got %+v", s)
	}
}
