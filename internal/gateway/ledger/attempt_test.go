package ledger

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	applyv1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
)

// lost is what a client sees of an API server that is gone before it has answered.
var lost = &net.OpError{Op: "read", Err: errors.New("connection reset by peer")}

// TestAWriteWithoutAnAnswerCountsOnce: an API server that goes away may have written, or not, before it went.
func TestAWriteWithoutAnAnswerCountsOnce(t *testing.T) {
	first := func(n int64) error {
		if n == 1 {
			return lost
		}
		return nil
	}
	twice := func(n int64) error {
		if n <= 2 {
			return lost
		}
		return nil
	}
	cases := map[string]struct {
		lose func(int64) error               // after it has written
		fail func(write bool, n int64) error // before
		// between happens after the first write.
		between func(*server)
		want    [3]int64
	}{
		"it had written":                                      {lose: first, want: [3]int64{2, 20, 6}},
		"it had written, twice":                               {lose: twice, want: [3]int64{2, 20, 6}},
		"it had not written":                                  {fail: onWrite(first), want: [3]int64{2, 20, 6}},
		"it had not written, twice":                           {fail: onWrite(twice), want: [3]int64{2, 20, 6}},
		"it had not the first time, and the second it had":    {fail: onWrite(first), lose: twice, want: [3]int64{2, 20, 6}},
		"it had written, and another replica writes":          {lose: first, between: another, want: [3]int64{3, 30, 9}},
		"it had not written, and another replica writes less": {fail: onWrite(first), between: less, want: [3]int64{3, 25, 7}},
		"it had written, and the manager writes":              {lose: first, between: manager, want: [3]int64{2, 20, 6}},
		"it had not written, and the manager writes":          {fail: onWrite(first), between: manager, want: [3]int64{2, 20, 6}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, build.Session("fix-login").Obj())
				s.lose = c.lose
				if c.fail != nil {
					s.fail = c.fail
				}
				l := s.ledger()
				l.Add(entry("fix-login"))
				if err := l.Flush(t.Context(), uid, anotherRun()); err == nil {
					t.Fatal("the first write was answered")
				}
				if c.between != nil {
					c.between(s)
				}
				l.Add(entry("fix-login"))
				for range 2 { // where the second goes wrong too
					_ = l.Flush(t.Context(), uid, anotherRun())
				}
				if got := s.usage("fix-login"); got != c.want {
					t.Errorf("usage %v, want %v", got, c.want)
				}
				if got := s.status("fix-login").CredentialsInUse; len(got) != 1 || got[0].Revision != "7" {
					t.Errorf("in use %v", got)
				}
				before := s.writes.Load()
				l.flushed(t, uid)
				if got := s.writes.Load(); got != before {
					t.Errorf("%d writes of nothing", got-before)
				}
			})
		})
	}
}

func onWrite(fail func(int64) error) func(bool, int64) error {
	return func(write bool, n int64) error {
		if !write {
			return nil
		}
		return fail(n)
	}
}

// another is another replica, which counts as much.
func another(s *server) {
	l := New(s.WithWatch, s.WithWatch, s.ledger().clock)
	quietly(s, func() { l.Add(entry("fix-login")); l.flushed(s.t, uid) })
}

// less is another replica, which counts less.
func less(s *server) {
	l := New(s.WithWatch, s.WithWatch, s.ledger().clock)
	quietly(s, func() {
		l.Add(with(entry("fix-login"), func(e *Entry) { e.InputTokens, e.OutputTokens = 5, 1 }))
		l.flushed(s.t, uid)
	})
}

// manager writes its part of the status.
func manager(s *server) {
	apply := applyv1alpha1.Session("fix-login", build.Namespace).WithStatus(applyv1alpha1.SessionStatus().WithPodName("fix-login-1"))
	quietly(s, func() {
		if err := s.Status().Apply(context.Background(), apply, client.FieldOwner(v1alpha1.FieldOwnerManager), client.ForceOwnership); err != nil {
			s.t.Fatal(err)
		}
	})
}

// quietly does something to which nothing happens.
func quietly(s *server, do func()) {
	fail, lose, writes := s.fail, s.lose, s.writes.Load()
	s.fail, s.lose = func(bool, int64) error { return nil }, nil
	do()
	s.fail, s.lose = fail, lose
	s.writes.Store(writes)
}

// TestAWriteThatComesLateCountsOnce: a write without an answer takes effect only when the next one is under way.
func TestAWriteThatComesLateCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, build.Session("fix-login").Obj())
		s.fail = onWrite(func(n int64) error {
			switch n {
			case 1:
				return lost
			case 2:
				late := s.ledger()
				late.Add(entry("fix-login"))
				quietly(s, func() { late.flushed(t, uid) })
				return conflict()
			}
			return nil
		})
		l := s.ledger()
		l.Add(entry("fix-login"))
		if err := l.Flush(t.Context(), uid, anotherRun()); err == nil {
			t.Fatal("the first write was answered")
		}
		l.Add(entry("fix-login"))
		l.flushed(t, uid)
		if got := s.usage("fix-login"); got != [3]int64{2, 20, 6} {
			t.Errorf("usage %v", got)
		}
	})
}

func TestWhatAttemptsHaveNotAdded(t *testing.T) {
	at := func(n int64) attempt {
		return attempt{sum: sum{counts: counts{n, 10 * n, n}}, version: "5", before: counts{100, 1000, 100}}
	}
	two := attempts{at(2), at(5)}
	cases := map[string]struct {
		attempts attempts
		version  string
		now      counts
		want     counts
		open     int
	}{
		"there was none":                       {nil, "5", counts{1, 1, 1}, counts{}, 0},
		"nobody has written":                   {two, "5", counts{100, 1000, 100}, counts{5, 50, 5}, 2},
		"somebody else has, and not the usage": {two, "6", counts{100, 1000, 100}, counts{5, 50, 5}, 0},
		"the first has":                        {two, "6", counts{102, 1020, 102}, counts{3, 30, 3}, 0},
		"the second has":                       {two, "6", counts{105, 1050, 105}, counts{}, 0},
		"the second has, and another replica":  {two, "7", counts{120, 1900, 190}, counts{}, 0},
		"another replica has, a little":        {two, "7", counts{110, 1001, 101}, counts{5, 50, 5}, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			missing, open := c.attempts.missing(c.version, c.now)
			if diff := cmp.Diff(c.want, missing.counts, cmp.AllowUnexported(counts{})); diff != "" || len(open) != c.open {
				t.Errorf("%d may yet take effect, missing (-want +got):\n%s", len(open), diff)
			}
		})
	}
}
