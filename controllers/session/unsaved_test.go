package session

import (
	"strings"
	"testing"
	"time"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandbox"
)

func TestI11WhatIsSaidOfWorkThatIsGone(t *testing.T) {
	const because = ", since the Session has no workspace volume (spec.workspace)"
	report := func(changes, files bool) contract.Report {
		return contract.Report{UnsavedChanges: changes, LooseFiles: files}
	}
	cases := map[string]struct {
		ending sandbox.Ending
		want   string
	}{
		"nothing was left":         {sandbox.Ending{WorkspaceGone: true}, ""},
		"a volume keeps it":        {sandbox.Ending{Report: report(true, true)}, ""},
		"changes":                  {sandbox.Ending{WorkspaceGone: true, Report: report(true, false)}, "; changes that were on no branch are gone" + because},
		"files":                    {sandbox.Ending{WorkspaceGone: true, Report: report(false, true)}, "; files that belong to no repository are gone" + because},
		"changes and files":        {sandbox.Ending{WorkspaceGone: true, Report: report(true, true)}, "; changes that were on no branch and files that belong to no repository are gone" + because},
		"nobody knows what it was": {sandbox.Ending{WorkspaceGone: true, Untold: true}, "; work that was not pushed is gone with the pod" + because},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := unsaved(c.ending); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestI11ALongFailureDoesNotHideALoss: the message that a condition has room for tells of the loss and of the next run.
func TestI11ALongFailureDoesNotHideALoss(t *testing.T) {
	long := strings.Repeat("word ", 400)
	e := sandbox.Ending{WorkspaceGone: true, Report: contract.Report{UnsavedChanges: true, LooseFiles: true}}
	shown := contract.OneLine(retryMessage(withLoss(long, e), time.Unix(0, 0)), maxConditionMessage)
	for _, words := range []string{"word word", "are gone, since", "the next run starts at 1970-01-01T00:00:00Z"} {
		if !strings.Contains(shown, words) {
			t.Errorf("%q does not say %q", shown, words)
		}
	}
	if got := withLoss(long, sandbox.Ending{}); got != long {
		t.Errorf("cut without need: %q", got)
	}
}
