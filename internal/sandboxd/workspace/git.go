// Package workspace clones repositories and brings what an agent made of them back to their origins.
//
// Once an agent has run, everything in the workspace is hostile, each repository's .git first of all: its configuration,
// hooks and attributes can name programs to run and other addresses to push to. So git never runs inside it. It runs with a
// GIT_DIR of our own, made after the agent has ended, with the workspace's files as work tree and the workspace's object
// store as store; refs are read by our own code, as data.
package workspace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sandkeep/sandkeep/internal/sandboxd/process"
)

// safeConfig goes before every git command: nothing but http and https, no program that a configuration could name.
var safeConfig = []string{
	"protocol.allow=never",
	"protocol.http.allow=always",
	"protocol.https.allow=always",
	"core.hooksPath=/dev/null",
	"core.fsmonitor=false",
	"core.attributesFile=/dev/null",
	"core.askPass=",
	"credential.helper=",
	"submodule.recurse=false",
	"fetch.recurseSubmodules=false",
	"push.recurseSubmodules=no",
	"diff.ignoreSubmodules=all",
	"commit.gpgSign=false",
	"gc.auto=0",
	"maintenance.auto=false",
	"advice.addEmbeddedRepo=false",
	// What follows is read from the object store, where an agent can have put lies: they cost only speed to leave out.
	"core.commitGraph=false",
	"core.multiPackIndex=false",
	"pack.useBitmaps=false",
}

// passedOn are the variables that git's http transport needs; they come from the container, the class or the session.
var passedOn = []string{
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "CURL_CA_BUNDLE",
}

// gitEnv is the whole environment of git, with the image's PATH: what else is set around it cannot steer it, and no file outside is read.
func gitEnv(path string, around []string, home string) []string {
	env := []string{
		"PATH=" + path, "HOME=" + home, "XDG_CONFIG_HOME=" + home, "TMPDIR=" + home, "LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_ATTR_NOSYSTEM=1",
		"GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=/bin/false", "SSH_ASKPASS=/bin/false", "GIT_SSH_COMMAND=/bin/false",
		"GIT_ALLOW_PROTOCOL=http:https", "GIT_NO_REPLACE_OBJECTS=1", "GIT_LFS_SKIP_SMUDGE=1", "GIT_OPTIONAL_LOCKS=0",
		"GIT_AUTHOR_NAME=" + identityName, "GIT_AUTHOR_EMAIL=" + identityEmail,
		"GIT_COMMITTER_NAME=" + identityName, "GIT_COMMITTER_EMAIL=" + identityEmail,
	}
	for _, variable := range around {
		if name, _, _ := strings.Cut(variable, "="); slices.Contains(passedOn, name) {
			env = append(env, variable)
		}
	}
	return env
}

// Who makes the commits of what an agent left uncommitted.
const (
	identityName  = "Sandkeep"
	identityEmail = "sandbox@sandkeep.dev"
)

// git runs git commands of one kind: in one directory, with one environment.
type git struct {
	tree    *process.Tree
	dir     string
	path    string
	env     []string
	timeout time.Duration
}

// with is g with more environment.
func (g git) with(env ...string) git {
	g.env = append(append([]string{}, g.env...), env...)
	return g
}

// in is g in another directory.
func (g git) in(dir string) git {
	g.dir = dir
	return g
}

// gitError is a git command that failed.
type gitError struct {
	stderr   string
	timedOut time.Duration
	missing  bool
	err      error
}

func (e *gitError) Error() string {
	if e.timedOut > 0 {
		return "timed out after " + e.timedOut.String()
	}
	if reason := lastError(e.stderr); reason != "" {
		return reason
	}
	return e.err.Error()
}

func (e *gitError) Unwrap() error { return e.err }

// maxOutput bounds what is kept of a command's output; lists that may be longer are read as a stream.
const (
	maxOutput = 32 << 20
	maxErrors = 64 << 10
)

// run is a git command whose output fits into memory.
func (g git) run(ctx context.Context, args ...string) (string, error) {
	out := &bounded{limit: maxOutput}
	err := g.stream(ctx, nil, out, args...)
	if err == nil && out.cut {
		err = errors.New("git printed more than could be read")
	}
	return out.String(), err
}

// stream is a git command that reads in and writes out.
func (g git) stream(ctx context.Context, in io.Reader, out io.Writer, args ...string) error {
	path, err := process.LookPath("git", g.dir, g.path)
	if err != nil {
		return &gitError{missing: true, err: err}
	}
	bound, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	stderr := &bounded{limit: maxErrors}
	cmd := &exec.Cmd{Path: path, Args: gitArgs(args), Dir: g.dir, Env: g.env, Stdin: in, Stdout: out, Stderr: stderr, WaitDelay: time.Second}
	p, err := g.tree.Start(cmd)
	if err != nil {
		return &gitError{err: err}
	}
	select {
	case <-p.Done():
	case <-bound.Done():
		p.Signal(syscall.SIGKILL)
		<-p.Done()
	}
	if p.Err() == nil {
		return nil
	}
	failed := &gitError{stderr: stderr.String(), err: p.Err()}
	if bound.Err() != nil {
		failed.err = fmt.Errorf("%w: %w", context.Cause(bound), p.Err())
	}
	if errors.Is(bound.Err(), context.DeadlineExceeded) {
		failed.timedOut = g.timeout
	}
	return failed
}

func gitArgs(args []string) []string {
	words := []string{"git"}
	for _, setting := range safeConfig {
		words = append(words, "-c", setting)
	}
	return append(words, args...)
}

// bounded keeps the beginning of what is written to it.
type bounded struct {
	bytes.Buffer
	limit int
	cut   bool
}

func (b *bounded) Write(p []byte) (int, error) {
	room := min(len(p), b.limit-b.Len())
	b.cut = b.cut || room < len(p)
	_, _ = b.Buffer.Write(p[:room])
	return len(p), nil
}

// lastError is the line of git's standard error that says what went wrong: the last "fatal:" or "error:", or the last line.
func lastError(stderr string) string {
	last, found := "", ""
	for text := range strings.Lines(stderr) {
		text = strings.TrimSpace(text)
		if text == "" {
			continue
		}
		last = text
		for _, prefix := range []string{"fatal: ", "error: "} {
			if rest, ok := strings.CutPrefix(text, prefix); ok {
				found = rest
			}
		}
	}
	if found != "" {
		return found
	}
	return last
}
