package program

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandkeep/sandkeep/hack/install"
)

// benchmark has what every benchmark has.
type benchmark struct {
	Workshop
	Course
}

func benchmarkIn(t *testing.T) *benchmark {
	t.Helper()
	return &benchmark{
		Workshop{Checkout: t.TempDir(), Scratch: t.TempDir(), Abort: func(err error) { t.Errorf("aborted: %v", err) }},
		Course{Progress: &install.Progress{Out: io.Discard}},
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

// script puts a shell script where a program that was built would be.
func (b *benchmark) script(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(b.Cache(""), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.Cache(name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestChildThatEndsByItselfEndsTheBenchmark(t *testing.T) {
	b := benchmarkIn(t)
	aborted := make(chan error, 1)
	b.Abort = func(err error) { aborted <- err }
	b.script(t, "kwok", "echo hello; echo \"no such flag: $1\"; exit 3")
	if _, err := b.Start("kwok", nil, "--flag"); err != nil {
		t.Fatal(err)
	}
	wantError(t, <-aborted, "kwok ended by itself", "exit status 3", "no such flag: --flag")
}

func TestChildIsStopped(t *testing.T) {
	b := benchmarkIn(t)
	b.script(t, "manager", "trap 'echo asked to end; exit 0' TERM; echo \"$GREETING\"; while :; do sleep 0.01; done")
	c, err := b.Start("manager", []string{"GREETING=at work"})
	if err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(c.LastWords(), "at work") {
		time.Sleep(time.Millisecond)
	}
	c.Stop()
	if words := c.LastWords(); !strings.Contains(words, "asked to end") {
		t.Errorf("last words %q", words)
	}
	if got, want := c.LogName(), ".cache/bench/manager.log"; got != want {
		t.Errorf("log %q, want %q", got, want)
	}
}

func TestChildThatIsNotThere(t *testing.T) {
	b := benchmarkIn(t)
	b.script(t, "other", "")
	_, err := b.Start("kwok", nil)
	wantError(t, err, "start kwok")
}

func TestSecondBenchmarkIsKeptOut(t *testing.T) {
	b := benchmarkIn(t)
	unlock, err := b.Lock()
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Lock()
	wantError(t, err, "another benchmark")
	unlock()
	again, err := b.Lock()
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestCleanUpGoesBackwardsAndOn(t *testing.T) {
	b := benchmarkIn(t)
	var order []string
	for _, name := range []string{"first", "second", "third"} {
		b.Undo(name, func(ctx context.Context, _ io.Writer) error {
			order = append(order, name)
			if name == "second" {
				return errors.New("second is stuck")
			}
			return ctx.Err()
		})
	}
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	err := b.CleanUp(interrupted)
	wantError(t, err, "second is stuck")
	if got := strings.Join(order, " "); got != "third second first" || strings.Contains(err.Error(), "canceled") {
		t.Errorf("order %q, error %q", got, err)
	}
}

func TestReason(t *testing.T) {
	failure := errors.New("create a pod: context canceled")
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	aborted, abort := context.WithCancelCause(t.Context())
	abort(errors.New("kwok ended by itself"))
	tests := map[string]struct {
		ctx  context.Context
		want string
	}{
		"nothing was cut short":   {t.Context(), "create a pod"},
		"somebody pressed Ctrl-C": {interrupted, "interrupted"},
		"a program ended":         {aborted, "kwok ended by itself"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { wantError(t, reason(test.ctx, failure), test.want) })
	}
}

func TestCompilationTellsHowFarItIs(t *testing.T) {
	var said bytes.Buffer
	began := time.Now().Add(-90 * time.Second)
	c := &compilation{out: &said, name: "kwok", began: began, last: began}
	for _, text := range []string{"a\nb\n", "c\n"} {
		if _, err := c.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := said.String(), "kwok: 2 packages compiled in 90 s\n"; got != want {
		t.Errorf("said %q, want %q: once in a while is enough", got, want)
	}
}

func TestOverlayAddsTheProbe(t *testing.T) {
	b := benchmarkIn(t)
	overlay, err := b.Overlay("manager")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(overlay)
	if err != nil || !bytes.Contains(text, []byte(b.Path("cmd", "manager"))) {
		t.Errorf("overlay %s, error %v", text, err)
	}
}

func TestTail(t *testing.T) {
	if got, want := tail(strings.Repeat("early\n", 20)+strings.Repeat("late\n", 15)), strings.TrimSuffix(strings.Repeat("  late\n", 15), "\n"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestResident(t *testing.T) {
	got, err := parseResident("Name:\tmanager\nVmHWM:\t   61440 kB\nVmRSS:\t   51200 kB\nThreads:\t9\n")
	if diff := cmp.Diff(Resident{Now: 50 << 20, Peak: 60 << 20}, got); diff != "" || err != nil {
		t.Errorf("error %v, -want +got:\n%s", err, diff)
	}
	if _, err := parseResident("VmRSS:\tmuch kB\n"); err == nil {
		t.Error("no error for a size that is no number")
	}
	resetPeak(os.Getpid())
	if own, err := residentOf(os.Getpid()); err != nil || own.Now == 0 || own.Peak < own.Now/2 {
		t.Errorf("of this process: %+v, error %v", own, err)
	}
}
