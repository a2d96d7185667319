package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestFailuresSayWhatToDo(t *testing.T) {
	for name, tc := range map[string]struct{ said, want string }{
		"disk full":         {"tar: write error: No space left on device", "free some disk space"},
		"another apt":       {"E: Could not get lock /var/lib/dpkg/lock-frontend", "wait for it"},
		"not root":          {"E: Unable to lock the directory, are you root?", "run this as root"},
		"no name service":   {"W: Temporary failure resolving 'mirror'", "check the network"},
		"mirror is down":    {"E: Could not connect to mirror:80", "proxy"},
		"stale lists":       {"E: Unable to locate package mmdebstrap", "apt-get update"},
		"version withdrawn": {"npm error code ETARGET", "npm config get registry"},
		"no registry":       {"npm error code ENOTFOUND", "npm config get registry"},
		"private registry":  {"npm error code E401", "npm login"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := output(command(t.Context(), "sh", "-c", fmt.Sprintf("echo %q >&2; exit 100", tc.said)))
			wantError(t, err, "sh: exit status 100", tc.want, tc.said)
		})
	}
}

func TestUnknownFailureEndsInTheLastLines(t *testing.T) {
	_, err := output(command(t.Context(), "sh", "-c", "seq 1 40; exit 3"))
	wantError(t, err, "exit status 3", "\n26\n", "\n40")
	if strings.Contains(err.Error(), "\n25\n") {
		t.Errorf("the error is longer than its last 15 lines:\n%v", err)
	}
}

func TestMissingProgram(t *testing.T) {
	_, err := output(command(t.Context(), "sandkeep-no-such-program"))
	wantError(t, err, "sandkeep-no-such-program is not installed")
	if !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("error %v does not wrap exec.ErrNotFound", err)
	}
}

func TestOutputIsWhatTheProgramPrinted(t *testing.T) {
	got, err := output(command(t.Context(), "sh", "-c", "echo one; echo noise >&2"))
	if err != nil || got != "one\n" {
		t.Errorf("output = %q, %v; want one line", got, err)
	}
}

func TestInterruptedProgramCleansUp(t *testing.T) {
	folder := t.TempDir()
	started, cleaned := filepath.Join(folder, "started"), filepath.Join(folder, "cleaned")
	script := fmt.Sprintf(`trap 'touch %s; exit 130' INT; touch %s; while :; do sleep 0.05; done`, cleaned, started)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error)
	go func() {
		_, err := output(command(ctx, "sh", "-c", script))
		ended <- err
	}()
	waitFor(t, started)
	cancel()
	if err := <-ended; err == nil {
		t.Error("an interrupted program counts as a success")
	}
	if !exists(cleaned) {
		t.Error("the program was not given the time to clean up")
	}
}

func TestDiskAdvice(t *testing.T) {
	full := &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	err := diskAdvice(full)
	wantError(t, err, "free some disk space under .cache")
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error %v does not wrap the cause", err)
	}
	other := errors.New("other")
	if got := diskAdvice(other); !errors.Is(got, other) || got.Error() != "other" {
		t.Errorf("advice on %v: %v", other, got)
	}
}

func TestEnsureProgramLeavesWhatIsThere(t *testing.T) {
	b, said := newBuilder(t)
	fakePrograms(t, map[string]string{"mmdebstrap": "", "apt-get": "exit 1"})
	if err := b.ensureProgram(t.Context(), "mmdebstrap"); err != nil {
		t.Fatal(err)
	}
	if said.Len() != 0 {
		t.Errorf("said %q although nothing had to be done", said)
	}
}

func TestEnsureProgramInstalls(t *testing.T) {
	b, _ := newBuilder(t)
	asked := filepath.Join(t.TempDir(), "asked")
	fakePrograms(t, map[string]string{"apt-get": `echo "$DEBIAN_FRONTEND $*" >> ` + asked})
	err := b.ensureProgram(t.Context(), "sandkeep-no-such-program")
	if os.Geteuid() != 0 {
		wantError(t, err, "only root", "sudo apt-get install sandkeep-no-such-program")
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(readTestFile(t, asked)), "\n")
	if len(lines) != 1 || !strings.HasPrefix(lines[0], "noninteractive ") ||
		!strings.HasSuffix(lines[0], " install --yes --no-install-recommends sandkeep-no-such-program") {
		t.Errorf("apt-get was asked %q", lines)
	}
}

func waitFor(t *testing.T, path string) {
	t.Helper()
	for range 200 {
		if exists(path) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%s did not appear", path)
}
