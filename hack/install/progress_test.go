package install

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestStepShowsItsDetailAndItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		p := &Progress{Out: &out}
		err := p.Step("Build", func(detail io.Writer) error {
			for _, piece := range []string{"one\ntw", "o\n", "no line"} {
				_, _ = fmt.Fprint(detail, piece) // a Builder takes everything
			}
			time.Sleep(1500 * time.Millisecond)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if want := "==> Build\n    one\n    two\n    no line\n    done in 1.5 s\n"; out.String() != want {
			t.Errorf("got %q, want %q", out.String(), want)
		}
	})
}

func TestStepThatFailsDoesNotSayThatItIsDone(t *testing.T) {
	var out strings.Builder
	wrong := errors.New("wrong")
	err := (&Progress{Out: &out}).Step("Build", func(io.Writer) error { return wrong })
	if !errors.Is(err, wrong) || out.String() != "==> Build\n" {
		t.Errorf("got %v and %q", err, out.String())
	}
}
