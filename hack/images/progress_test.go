package main

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestStepShowsSignsOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		p := progress{out: &said, every: 10 * time.Second}
		err := p.step(t.Context(), "unpack Debian", func(context.Context) error {
			time.Sleep(25 * time.Second)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		want := "images: unpack Debian ...\n" +
			"images: unpack Debian: still at it after 10s\n" +
			"images: unpack Debian: still at it after 20s\n" +
			"images: unpack Debian: done in 25s\n"
		if diff := cmp.Diff(want, said.String()); diff != "" {
			t.Errorf("said (-want +got):\n%s", diff)
		}
	})
}

func TestStepThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		p := progress{out: &said, every: 10 * time.Second}
		broken := errors.New("no network")
		err := p.step(t.Context(), "fetch", func(context.Context) error { return broken })
		if !errors.Is(err, broken) {
			t.Errorf("error %v does not wrap the cause", err)
		}
		wantError(t, err, "fetch: no network")
		time.Sleep(time.Minute)
		if got, want := said.String(), "images: fetch ...\n"; got != want {
			t.Errorf("said %q, want %q: the caller reports the error, once", got, want)
		}
	})
}
