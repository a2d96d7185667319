package workspace

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/sandkeep/sandkeep/internal/contract"
)

// TestI11LooseFiles: what an agent leaves beside the repositories is seen, and nothing else is taken for it.
func TestI11LooseFiles(t *testing.T) {
	tests := map[string]struct{ command, want string }{
		"nothing":                       {"true", ""},
		"work in the repositories":      {"echo x >app/x; echo y >libs/core/y", ""},
		"an ignored file of one":        {"echo x >app/.git/x", ""},
		"empty folders":                 {"mkdir -p a/b/c libs/d", ""},
		"a file":                        {"echo x >notes.md", "notes.md"},
		"a hidden file":                 {"echo x >.notes", ".notes"},
		"a file in a folder":            {"mkdir -p a/b; echo x >a/b/c", "a/b/c"},
		"a file beside a repository":    {"echo x >libs/readme", "libs/readme"},
		"a link":                        {"ln -s app link", "link"},
		"a pipe":                        {"mkfifo pipe", "pipe"},
		"another repository":            {"git init -q other", "other/.git/HEAD"},
		"a repository that was moved":   {"mv app moved", "moved/calculator.sh"},
		"a repository behind a link":    {"mv app moved && ln -s moved app", "app"},
		"the work tree of a repository": {"mkdir tree && cp app/calculator.sh tree", "tree/calculator.sh"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			app := b.mustClone(b.demo())
			core := b.mustClone(contract.Repository{URL: b.server + "/demo/calculator.git", Path: "libs/core"})
			shell(t, b.Dir, "set -e; "+tt.command)
			got := b.Loose(t.Context(), []*Clone{app, core})
			if (got == "") != (tt.want == "") || filepath.Dir(got) != filepath.Dir(tt.want) {
				t.Errorf("found %q, want %q", got, tt.want)
			}
		})
	}
}

func TestI11WhatCannotBeLookedAtCountsAsLoose(t *testing.T) {
	tests := map[string]func(b *bench) string{
		"a maze": func(b *bench) string {
			for i := range maxFolders + 1 {
				must(b.t, os.Mkdir(filepath.Join(b.Dir, strconv.Itoa(i)), 0o755))
			}
			return b.Loose(b.t.Context(), nil)
		},
		"a folder when the time is up": func(b *bench) string {
			must(b.t, os.Mkdir(filepath.Join(b.Dir, "folder"), 0o755))
			return b.Loose(cancelled(), nil)
		},
		"a workspace that is gone": func(b *bench) string {
			must(b.t, os.RemoveAll(b.Dir))
			return b.Loose(b.t.Context(), nil)
		},
	}
	for name, look := range tests {
		t.Run(name, func(t *testing.T) {
			b := &bench{t: t, Workspace: &Workspace{Dir: t.TempDir()}}
			if look(b) == "" {
				t.Error("nobody would know")
			}
		})
	}
}
