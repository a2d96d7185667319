package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// script puts a shell script where a program that was built would be.
func (b *bench) script(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(b.cache(""), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.cache(name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestChildThatEndsByItselfEndsTheBenchmark(t *testing.T) {
	b := benchOn(t)
	aborted := make(chan error, 1)
	b.abort = func(err error) { aborted <- err }
	b.script(t, "kwok", "echo hello; echo \"no such flag: $1\"; exit 3")
	if _, err := b.start("kwok", nil, "--flag"); err != nil {
		t.Fatal(err)
	}
	wantError(t, <-aborted, "kwok ended by itself", "exit status 3", "no such flag: --flag")
}

func TestChildIsStopped(t *testing.T) {
	b := benchOn(t)
	b.script(t, "manager", "trap 'echo asked to end; exit 0' TERM; echo \"$GREETING\"; while :; do sleep 0.01; done")
	c, err := b.start("manager", []string{"GREETING=at work"})
	if err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(c.lastWords(), "at work") {
		time.Sleep(time.Millisecond)
	}
	c.stop()
	if words := c.lastWords(); !strings.Contains(words, "asked to end") {
		t.Errorf("last words %q", words)
	}
	if got, want := c.logName(), ".cache/bench/manager.log"; got != want {
		t.Errorf("log %q, want %q", got, want)
	}
}

func TestChildThatIsNotThere(t *testing.T) {
	b := benchOn(t)
	b.script(t, "other", "")
	_, err := b.start("kwok", nil)
	wantError(t, err, "start kwok")
}

func TestSecondBenchmarkIsKeptOut(t *testing.T) {
	b := benchOn(t)
	unlock, err := b.lock()
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.lock()
	wantError(t, err, "another benchmark")
	unlock()
	again, err := b.lock()
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestCleanUpGoesBackwardsAndOn(t *testing.T) {
	b := benchOn(t)
	var order []string
	for _, name := range []string{"first", "second", "third"} {
		b.undo(name, func(ctx context.Context, _ io.Writer) error {
			order = append(order, name)
			if name == "second" {
				return errors.New("second is stuck")
			}
			return ctx.Err()
		})
	}
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	err := b.cleanUp(interrupted)
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
	b := benchOn(t)
	overlay, err := b.overlay()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(overlay)
	if err != nil || !bytes.Contains(text, []byte(b.path("cmd", "manager"))) {
		t.Errorf("overlay %s, error %v", text, err)
	}
}

func TestKinds(t *testing.T) {
	kinds, err := kindsIn("../../config/crd/bases")
	if err != nil || len(kinds) < 4 {
		t.Fatalf("%d Kinds, error %v", len(kinds), err)
	}
	for _, kind := range kinds {
		if kind.GetKind() != "CustomResourceDefinition" {
			t.Errorf("%s is a %s", kind.GetName(), kind.GetKind())
		}
	}
	_, err = kindsIn(t.TempDir())
	wantError(t, err, "make generate")
}

func TestTail(t *testing.T) {
	if got, want := tail(strings.Repeat("early\n", 20)+strings.Repeat("late\n", 15)), strings.TrimSuffix(strings.Repeat("  late\n", 15), "\n"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
