package workspace

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestI8AnErrorIsNoEvidence: an agent that did nothing has not worked because its clone could not be looked at.
func TestI8AnErrorIsNoEvidence(t *testing.T) {
	tests := map[string]func(b *bench) context.Context{
		"the grace period is over": func(*bench) context.Context { return cancelled() },
		"there is no room for what git needs": func(b *bench) context.Context {
			b.scratch = filepath.Join(b.Tmp, "gone")
			return b.t.Context()
		},
		"git is gone": func(b *bench) context.Context {
			b.Path = b.t.TempDir()
			return b.t.Context()
		},
		"git takes too long": func(b *bench) context.Context {
			b.Timeout = time.Nanosecond
			return b.t.Context()
		},
	}
	for name, fail := range tests {
		for _, pushBranch := range []string{"", branch} {
			t.Run(fmt.Sprintf("%s, push branch %q", name, pushBranch), func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				r := b.demo()
				r.PushBranch = pushBranch
				c := b.mustClone(r)
				ctx := fail(b)
				s := b.Save(ctx, c, "message", func() { b.pushes++ })
				if s.Worked || !s.Unseen || !s.Unsaved || s.Problem == "" || b.pushes != 0 {
					t.Errorf("got %+v", s)
				}
			})
		}
	}
}

func TestI8OnlyWhatAnAgentCanDoToGitIsDamage(t *testing.T) {
	tests := map[string]struct {
		err    error
		damage bool
	}{
		"a file is missing":          {fs.ErrNotExist, true},
		"a file is locked":           {fs.ErrPermission, true},
		"a folder became a file":     {syscall.ENOTDIR, true},
		"a file became another kind": {fmt.Errorf("%w: it is not a regular file", errOdd), true},
		"a line has no end":          {bufio.ErrTooLong, true},
		"the disk fails":             {syscall.EIO, false},
		"the volume went away":       {syscall.ESTALE, false},
		"too many files are open":    {syscall.EMFILE, false},
		"there is no memory":         {syscall.ENOMEM, false},
		"the time is up":             {context.DeadlineExceeded, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := unreadable("HEAD", &fs.PathError{Op: "open", Path: "HEAD", Err: tt.err})
			if isDamage(err) != tt.damage {
				t.Errorf("damage %t: %v", isDamage(err), err)
			}
		})
	}
}

// TestI8WhatTheOriginHasIsNoEvidence: scripts around agents check out branches before the agent begins, or does nothing.
func TestI8WhatTheOriginHasIsNoEvidence(t *testing.T) {
	tests := map[string]struct{ ref, command string }{
		"another branch is checked out":        {"", "git checkout -q dev"},
		"another commit is checked out":        {"", "git checkout -q --detach origin/dev"},
		"a new branch is at another's commit":  {"", "git checkout -q -b mine origin/dev"},
		"a branch goes on to another's commit": {"", "git merge -q --ff-only origin/dev"},
		"the run began at a pull request":      {"refs/pull/1/head", "true"},
	}
	for name, tt := range tests {
		for _, pushBranch := range []string{"", branch} {
			t.Run(fmt.Sprintf("%s, push branch %q", name, pushBranch), func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				other := b.origin("-c user.name=x -c user.email=x@x commit-tree -p main -m other main^{tree}")
				b.origin("update-ref refs/heads/dev " + other)
				pull := b.origin("-c user.name=x -c user.email=x@x commit-tree -p main -m pull main^{tree}")
				b.origin("update-ref refs/pull/1/head " + pull)
				r := b.demo()
				r.Ref, r.PushBranch = tt.ref, pushBranch
				c := b.mustClone(r)
				b.sh(c, tt.command)
				s := b.save(c)
				if s.Worked || s.Unsaved || s.Problem != "" || s.Commit.Commit != "" || b.pushes != 0 {
					t.Errorf("got %+v and %d pushes", s, b.pushes)
				}
			})
		}
	}
}

// TestNoCommitIsReportedThatIsNotThere: what HEAD says is a claim of the agent.
func TestNoCommitIsReportedThatIsNotThere(t *testing.T) {
	b := newBench(t)
	r := b.demo()
	r.PushBranch = ""
	c := b.mustClone(r)
	b.sh(c, "printf '%040d' 5 >.git/HEAD")
	s := b.save(c)
	b.wantProblem(s, "the commit that is checked out is missing")
	if s.Commit.Commit != "" {
		t.Errorf("reported %s", s.Commit.Commit)
	}
}
