package workspace

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// conversions are what an origin may hold that git converts back to something else than was committed.
var conversions = map[string]struct{ attributes, content string }{
	"text":      {"*.txt text", `one\r\ntwo\r\n`},
	"text=auto": {"* text=auto", `one\r\ntwo\r\n`},
	"eol=crlf":  {"*.txt text eol=crlf", `one\r\ntwo\n`},
	"ident":     {"*.txt ident", `$Id: as it was committed once $\ntwo\n`},
}

// converts commits a file, and then attributes that do not fit it.
func (b *bench) converts(attributes, content string) {
	b.t.Helper()
	shell(b.t, b.t.TempDir(), fmt.Sprintf(`set -e; git clone -q %s/demo/calculator.git . 2>/dev/null
		git config user.name x; git config user.email x@x
		mkdir -p 'a folder'; printf '%s' >old.txt; cp old.txt 'a folder/new
line.txt'; git add -A; git -c core.autocrlf=false commit -qm old
		echo '%s' >.gitattributes; git add .gitattributes; git commit -qm attributes; git push -q origin HEAD:main`, b.origins, content, attributes))
}

// TestI8WhatGitConvertsIsNoEvidence: files that were committed before the attributes that convert them differ from the commit right
// after the checkout, and nobody has changed them.
func TestI8WhatGitConvertsIsNoEvidence(t *testing.T) {
	for name, tt := range conversions {
		for _, pushBranch := range []string{"", branch} {
			t.Run(fmt.Sprintf("%s, push branch %q", name, pushBranch), func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				b.converts(tt.attributes, tt.content)
				r := b.demo()
				r.PushBranch = pushBranch
				c := b.mustClone(r)
				b.sh(c, "touch old.txt")
				if s := b.save(c); s.Worked || s.Unsaved || s.Problem != "" || s.Commit.Commit != "" || b.pushes != 0 {
					t.Errorf("got %+v and %d pushes", s, b.pushes)
				}
			})
		}
	}
}

// TestOnlyWhatTheAgentChangedIsPushed, and not what git would convert beside it; nor does the next run on a volume see that as changed.
func TestOnlyWhatTheAgentChangedIsPushed(t *testing.T) {
	for name, tt := range conversions {
		for title, command := range map[string]string{"a change": "echo x >x", "a commit and a change": "echo c >c && git add c && git commit -qm c && echo x >x"} {
			t.Run(name+", "+title, func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				b.converts(tt.attributes, tt.content)
				c := b.mustClone(b.demo())
				b.sh(c, command)
				if s := b.save(c); s.Problem != "" || s.Unsaved || !s.Commit.Pushed || !s.Worked {
					t.Fatalf("not all was pushed: %+v", s)
				}
				if got := b.origin("diff --name-only " + branch + "~1 " + branch); got != "x" {
					t.Errorf("the commit changes %q", got)
				}
				if got := b.sh(c, "git ls-files -v | grep -v ^H || true"); got != "" {
					t.Errorf("the repository's own git looks away from %q", got)
				}
				b.Keep, b.Run, b.pushes = true, 2, 0
				if s := b.save(b.mustClone(b.demo())); s.Worked || s.Unsaved || s.Problem != "" || b.pushes != 0 {
					t.Errorf("the next run on the volume: %+v", s)
				}
			})
		}
	}
}

// TestWhatAnAgentDoesToAConvertedFileIsPushed, even if all that it does is what git's conversion would do.
func TestWhatAnAgentDoesToAConvertedFileIsPushed(t *testing.T) {
	tests := map[string]struct{ command, want string }{
		"the conversion itself": {`tr -d '\r' <old.txt >lf && mv lf old.txt`, "one\ntwo"},
		"another line":          {`printf 'three\r\n' >>old.txt`, "one\ntwo\nthree"},
		"another mode":          {`chmod +x old.txt`, "one\ntwo"},
		"a removal":             {`rm old.txt`, ""},
		"a link":                {`ln -sf README.md old.txt`, "README.md"},
	}
	for name, tt := range tests {
		for _, pushBranch := range []string{"", branch} {
			t.Run(fmt.Sprintf("%s, push branch %q", name, pushBranch), func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				b.converts("*.txt text", `one\r\ntwo\r\n`)
				r := b.demo()
				r.PushBranch = pushBranch
				c := b.mustClone(r)
				b.sh(c, tt.command)
				s := b.save(c)
				if pushBranch == "" {
					if !s.Worked || !s.Unsaved || s.Problem != "" {
						t.Errorf("got %+v", s)
					}
					return
				}
				if s.Problem != "" || s.Unsaved || !s.Commit.Pushed || !s.Worked {
					t.Fatalf("not all was pushed: %+v", s)
				}
				if got := b.origin("show " + branch + " --format= --name-only"); got != "old.txt" {
					t.Errorf("the commit changes %q", got)
				}
				if got := b.origin("cat-file --batch <<X\n" + branch + ":old.txt\nX"); tt.want != "" && !strings.HasSuffix(got, "\n"+tt.want) {
					t.Errorf("pushed %q, want %q", got, tt.want)
				}
			})
		}
	}
}

// TestNewAttributesChangeNoFile: whoever wants the files converted, too, says so to git (add --renormalize).
func TestNewAttributesChangeNoFile(t *testing.T) {
	b := newBench(t)
	b.converts("*.other text", `one\r\ntwo\r\n`)
	c := b.mustClone(b.demo())
	b.sh(c, "echo '*.txt text' >.gitattributes")
	if s := b.save(c); s.Problem != "" || s.Unsaved || !s.Commit.Pushed {
		t.Fatalf("not all was pushed: %+v", s)
	}
	if got := b.origin("show " + branch + " --format= --name-only"); got != ".gitattributes" {
		t.Errorf("the commit changes %q", got)
	}
}

// TestI8AnErrorBesideAConversionIsNoEvidence: what cannot be compared has not been changed.
func TestI8AnErrorBesideAConversionIsNoEvidence(t *testing.T) {
	b := newBench(t)
	b.converts("*.txt text", `one\r\ntwo\r\n`)
	c := b.mustClone(b.demo())
	s, err := b.open(c)
	must(t, err)
	defer func() { _ = s.root.Close() }()
	must(t, os.WriteFile(filepath.Join(s.dir, "fresh"), nil, 0o600)) // in the way of what is compared with
	if saved := s.inspect(t.Context(), Saved{}); saved.Worked || !saved.Unseen || saved.Problem == "" {
		t.Errorf("got %+v", saved)
	}
}

func TestSameContent(t *testing.T) {
	long := bytes.Repeat([]byte("0123456789abcdef"), 8<<10) // two buffers
	changed := bytes.Clone(long)
	changed[len(changed)-1] = 'x'
	tests := map[string]struct {
		a, b []byte
		want bool
	}{
		"nothing":            {nil, nil, true},
		"nothing and a byte": {nil, []byte("x"), false},
		"the same":           {long, bytes.Clone(long), true},
		"a last byte":        {long, changed, false},
		"a longer one":       {long, append(bytes.Clone(long), 'x'), false},
		"a shorter one":      {append(bytes.Clone(long), 'x'), long, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got, err := sameContent(bytes.NewReader(tt.a), bytes.NewReader(tt.b)); got != tt.want || err != nil {
				t.Errorf("got %t, %v", got, err)
			}
		})
	}
	if _, err := sameContent(bytes.NewReader(nil), failing{}); err == nil {
		t.Error("no error for a file that cannot be read")
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }
