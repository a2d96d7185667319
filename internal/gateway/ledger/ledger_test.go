package ledger

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
)

const uid = "uid-of-fix-login"

func at(d time.Duration) *metav1.Time { return new(metav1.NewTime(start.Add(d).Local())) }

func TestTheFirstRequestShowsAtOnceAndTheOthersEveryHalfMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, build.Session("fix-login").Obj(), build.Session("other").Obj())
		l := run(t, s.ledger())
		defer l.stop()
		synctest.Wait()
		l.Add(entry("fix-login"))
		synctest.Wait()
		if got := s.usage("fix-login"); got != [3]int64{1, 10, 3} {
			t.Fatalf("after the first request: %v", got)
		}
		for range 29 * 4 {
			time.Sleep(250 * time.Millisecond)
			l.Add(entry("fix-login"))
		}
		synctest.Wait()
		if got := s.writes.Load(); got != 1 {
			t.Errorf("%d writes in 29 s", got)
		}
		l.Add(entry("other"))
		synctest.Wait()
		if got := s.usage("other"); got != [3]int64{1, 10, 3} {
			t.Errorf("another Session waits for its turn: %v", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := s.usage("fix-login"); got != [3]int64{117, 1170, 351} {
			t.Errorf("after 30 s: %v", got)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := s.writes.Load(); got != 3 {
			t.Errorf("%d writes, though nothing happened", got)
		}
		l.Add(entry("other"))
		synctest.Wait()
		l.mutex.Lock()
		defer l.mutex.Unlock()
		if len(l.accounts) != 1 {
			t.Errorf("%d accounts of Sessions that are silent are kept", len(l.accounts)-1)
		}
	})
}

func TestAMinuteOfWorkIsAFewWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, build.Session("fix-login").Obj())
		l := run(t, s.ledger())
		for range 600 {
			l.Add(entry("fix-login"))
			time.Sleep(100 * time.Millisecond)
		}
		l.stop()
		if got := s.usage("fix-login"); got != [3]int64{600, 6000, 1800} {
			t.Errorf("after the end: %v", got)
		}
		if got := s.writes.Load(); got > 4 {
			t.Errorf("%d writes in a minute", got)
		}
	})
}

func TestTheEndOfARunIsWrittenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, build.Session("fix-login").Obj())
		l := run(t, s.ledger())
		defer l.stop()
		for range 3 {
			l.Add(entry("fix-login"))
			synctest.Wait()
		}
		l.flushed(t, uid)
		if got := s.usage("fix-login"); got != [3]int64{3, 30, 9} {
			t.Errorf("after the end of a run: %v", got)
		}
		before := s.writes.Load()
		l.flushed(t, uid)
		l.flushed(t, "nobody's")
		if got := s.writes.Load(); got != before {
			t.Errorf("%d writes of nothing", got-before)
		}
	})
}

func TestASandboxThatReportsItsEndAllTheTimeIsWrittenEveryHalfMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, build.Session("fix-login").Obj())
		l := run(t, s.ledger())
		defer l.stop()
		report := func(pod types.UID) {
			l.Add(entry("fix-login"))
			if err := l.Flush(t.Context(), uid, pod); err != nil {
				t.Fatal(err)
			}
		}
		for range 600 {
			report("first")
			time.Sleep(100 * time.Millisecond)
		}
		if got := s.writes.Load(); got > 6 {
			t.Errorf("%d writes in a minute", got)
		}
		time.Sleep(Interval)
		synctest.Wait()
		if got := s.usage("fix-login"); got != [3]int64{600, 6000, 1800} {
			t.Errorf("what is left is not written in its turn: %v", got)
		}
		report("first")
		report("second")
		if got := s.usage("fix-login"); got != [3]int64{602, 6020, 1806} {
			t.Errorf("the end of the next run is not written at once: %v", got)
		}
	})
}

func TestTheEndOfARunThatCouldNotBeWrittenIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, build.Session("fix-login").Obj())
		s.fail = func(write bool, n int64) error {
			if write && n == 1 {
				return down()
			}
			return nil
		}
		l := s.ledger()
		l.Add(entry("fix-login"))
		for i, want := range []bool{true, false} {
			if err := l.Flush(t.Context(), uid, "pod"); (err != nil) != want {
				t.Errorf("report %d: %v", i+1, err)
			}
		}
		if got := s.usage("fix-login"); got != [3]int64{1, 10, 3} {
			t.Errorf("usage %v", got)
		}
	})
}

func TestWhatIsWritten(t *testing.T) {
	ref := entry("").Ref
	used := func(provider, revision string, when *metav1.Time) v1alpha1.CredentialInUse {
		return v1alpha1.CredentialInUse{Provider: provider, Ref: ref, Revision: revision, LastUsedTime: when}
	}
	expiring := used("openai", "1", at(-time.Hour))
	expiring.ExpirationTime = at(time.Hour)
	cases := map[string]struct {
		before  v1alpha1.SessionStatus
		entries []Entry
		want    v1alpha1.SessionStatus
	}{
		"the first request": {v1alpha1.SessionStatus{}, []Entry{entry("fix-login")}, v1alpha1.SessionStatus{
			Usage: &v1alpha1.Usage{Requests: new(int64(1)), InputTokens: new(int64(10)), OutputTokens: new(int64(3)), TotalTokens: new(int64(13))}, LastActivityTime: at(0),
			CredentialsInUse: []v1alpha1.CredentialInUse{used("anthropic", "7", at(0))},
		}},
		"a request that was refused uses no credential": {v1alpha1.SessionStatus{}, []Entry{{Session: entry("fix-login").Session, UID: uid, Provider: "anthropic"}}, v1alpha1.SessionStatus{
			Usage: &v1alpha1.Usage{Requests: new(int64(0)), InputTokens: new(int64(0)), OutputTokens: new(int64(0)), TotalTokens: new(int64(0))}, LastActivityTime: at(0),
		}},
		"others' entries stay, sorted, and the newer one counts": {
			v1alpha1.SessionStatus{
				Usage:            &v1alpha1.Usage{Requests: new(int64(100)), OutputTokens: new(int64(5))},
				CredentialsInUse: []v1alpha1.CredentialInUse{used("anthropic", "6", at(-time.Minute)), expiring}, LastActivityTime: at(-time.Minute)},
			[]Entry{entry("fix-login"), with(entry("fix-login"), func(e *Entry) { e.Provider, e.Revision = "zai", "2" })},
			v1alpha1.SessionStatus{
				Usage: &v1alpha1.Usage{Requests: new(int64(102)), InputTokens: new(int64(20)), OutputTokens: new(int64(11)), TotalTokens: new(int64(31))}, LastActivityTime: at(0),
				CredentialsInUse: []v1alpha1.CredentialInUse{used("anthropic", "7", at(0)), expiring, used("zai", "2", at(0))},
			},
		},
		"what another replica saw later stays": {
			v1alpha1.SessionStatus{CredentialsInUse: []v1alpha1.CredentialInUse{used("anthropic", "8", at(time.Second))}, LastActivityTime: at(time.Second)},
			[]Entry{entry("fix-login")},
			v1alpha1.SessionStatus{
				Usage:            &v1alpha1.Usage{Requests: new(int64(1)), InputTokens: new(int64(10)), OutputTokens: new(int64(3)), TotalTokens: new(int64(13))},
				LastActivityTime: at(time.Second), CredentialsInUse: []v1alpha1.CredentialInUse{used("anthropic", "8", at(time.Second))},
			},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				session := build.Session("fix-login").With(func(o *v1alpha1.Session) { c.before.ClassName, o.Status = "opencode", c.before }).Obj()
				session.Status.ClassName = "opencode"
				s := newServer(t, session)
				l := s.ledger()
				for _, e := range c.entries {
					l.Add(e)
				}
				l.flushed(t, uid)
				c.want.ClassName = "opencode" // the manager's part
				if diff := cmp.Diff(c.want, s.status("fix-login")); diff != "" {
					t.Errorf("status (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestWhatCannotBeWrittenIsKept(t *testing.T) {
	cases := map[string]struct {
		fail func(write bool, n int64) error
		err  bool
	}{
		"somebody else wrote first, twice": {func(write bool, n int64) error {
			if write && n <= 2 {
				return conflict()
			}
			return nil
		}, false},
		"somebody else always writes first": {func(write bool, n int64) error {
			if write && n <= tries {
				return conflict()
			}
			return nil
		}, true},
		"the API server does not write": {func(write bool, n int64) error {
			if write && n == 1 {
				return down()
			}
			return nil
		}, true},
		"the API server does not read": {func(write bool, n int64) error {
			if !write && n == 1 {
				return down()
			}
			return nil
		}, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, build.Session("fix-login").Obj())
				s.fail = c.fail
				l := s.ledger()
				l.Add(entry("fix-login"))
				if err := l.Flush(t.Context(), uid, anotherRun()); (err != nil) != c.err {
					t.Fatalf("error %v", err)
				}
				l.Add(entry("fix-login"))
				l.flushed(t, uid)
				if got := s.usage("fix-login"); got != [3]int64{2, 20, 6} {
					t.Errorf("usage %v", got)
				}
				if got := s.status("fix-login").CredentialsInUse; len(got) != 1 || got[0].Revision != "7" {
					t.Errorf("in use %v", got)
				}
			})
		})
	}
}

func TestAnAPIServerThatIsDownIsAskedEveryHalfMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, build.Session("fix-login").Obj())
		s.fail = func(bool, int64) error {
			if time.Since(start) < 5*time.Minute {
				return down()
			}
			return nil
		}
		l := run(t, s.ledger())
		defer l.stop()
		for range 60 * 4 {
			l.Add(entry("fix-login"))
			time.Sleep(time.Second)
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if got := s.usage("fix-login"); got != [3]int64{240, 2400, 720} {
			t.Errorf("once it was back: %v", got)
		}
		if got := s.reads.Load(); got > 12 {
			t.Errorf("it was asked %d times in 5 minutes", got)
		}
		if got := l.errs.Load(); got < 9 || got > 11 {
			t.Errorf("%d failures were told", got)
		}
	})
}

func TestAWriteThatFailsAfterAMinuteLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, build.Session("fix-login").Obj(), build.Session("other").Obj())
		s.fail = func(write bool, n int64) error {
			if !write && n == 1 {
				time.Sleep(3 * Interval)
				return down()
			}
			return nil
		}
		l := s.ledger()
		l.Add(entry("fix-login"))
		flushed := make(chan error)
		go func() { flushed <- l.Flush(t.Context(), uid, anotherRun()) }()
		synctest.Wait()
		r := run(t, l)
		time.Sleep(2*Interval + time.Second)
		l.Add(entry("other")) // the ledger looks through its accounts
		if err := <-flushed; err == nil {
			t.Fatal("the write did not fail")
		}
		r.stop()
		if got := s.usage("fix-login"); got != [3]int64{1, 10, 3} {
			t.Errorf("usage %v", got)
		}
	})
}

func TestStoppingWritesEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sessions []*v1alpha1.Session
		for i := range 20 {
			sessions = append(sessions, build.Session(fmt.Sprintf("s%d", i)).Obj())
		}
		s := newServer(t, sessions...)
		l := run(t, s.ledger())
		for range 2 { // the first is written at once, the second waits for its turn
			for _, session := range sessions {
				l.Add(entry(session.Name))
			}
			synctest.Wait()
		}
		l.stop()
		for _, session := range sessions {
			if got := s.usage(session.Name); got != [3]int64{2, 20, 6} {
				t.Errorf("%s: %v", session.Name, got)
			}
		}
	})
}

func TestReplicasAddUpExactly(t *testing.T) {
	s := newServer(t, build.Session("fix-login").Obj())
	const replicas, requests = 2, 200
	var all sync.WaitGroup
	for range replicas {
		all.Go(func() {
			l := s.ledger()
			for range requests {
				l.Add(entry("fix-login"))
				_ = l.Flush(context.Background(), uid, anotherRun()) // what fails is kept
			}
			for l.Flush(context.Background(), uid, anotherRun()) != nil {
				continue
			}
		})
	}
	all.Wait()
	if got := s.usage("fix-login"); got != [3]int64{replicas * requests, replicas * requests * 10, replicas * requests * 3} {
		t.Errorf("usage %v", got)
	}
	if s.writes.Load() == replicas*requests {
		t.Log("the replicas never met")
	}
}

func TestWritesOfOneLedgerDoNotMeet(t *testing.T) {
	s := newServer(t, build.Session("fix-login").Obj())
	l := s.ledger()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				l.Add(entry("fix-login"))
				if err := l.Flush(t.Context(), uid, anotherRun()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if got := s.usage("fix-login"); got != [3]int64{400, 4000, 1200} {
		t.Errorf("usage %v", got)
	}
}

func TestNobodyIsToldWhatASessionThatIsGoneUsed(t *testing.T) {
	cases := map[string]*v1alpha1.Session{
		"it was deleted":  build.Session("other").Obj(),
		"it is a new one": build.Session("fix-login").With(func(s *v1alpha1.Session) { s.UID = "uid-after" }).Obj(),
	}
	for name, session := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, session)
				l := run(t, s.ledger())
				l.Add(entry("fix-login"))
				synctest.Wait()
				l.flushed(t, uid)
				l.stop()
				if s.writes.Load() != 0 || l.errs.Load() != 0 || s.usage(session.Name) != [3]int64{} {
					t.Errorf("%d writes, %d errors", s.writes.Load(), l.errs.Load())
				}
				if err := s.Get(t.Context(), client.ObjectKeyFromObject(session), &v1alpha1.Session{}); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestASessionThatGoesBetweenReadAndWriteIsNotMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		session := build.Session("fix-login").Obj()
		s := newServer(t, session)
		s.fail = func(write bool, _ int64) error {
			if write {
				return client.IgnoreNotFound(s.Delete(context.Background(), session.DeepCopy()))
			}
			return nil
		}
		l := s.ledger()
		l.Add(entry("fix-login"))
		l.flushed(t, uid)
		if err := s.Get(t.Context(), client.ObjectKeyFromObject(session), &v1alpha1.Session{}); client.IgnoreNotFound(err) != nil || err == nil {
			t.Errorf("it is back: %v", err)
		}
	})
}

// holding is a key that the sandbox of a Session has.
func holding(name, provider, revision string) Holding {
	return Holding{
		Session: client.ObjectKey{Namespace: build.Namespace, Name: name}, UID: build.UID(name), Provider: provider, Ref: entry("").Ref, Revision: revision,
	}
}

func TestAKeyThatASandboxHasIsNoRequest(t *testing.T) {
	inUse := func(provider, revision string) v1alpha1.CredentialInUse {
		return v1alpha1.CredentialInUse{Provider: provider, Ref: entry("").Ref, Revision: revision, LastUsedTime: at(0)}
	}
	delivered := v1alpha1.ResolvedCredential{Provider: "openai", Ref: entry("").Ref, Delivery: v1alpha1.DeliveryFile}
	byProxy := v1alpha1.ResolvedCredential{Provider: "anthropic", Ref: entry("").Ref, Delivery: v1alpha1.DeliveryProxy}
	said := &v1alpha1.Usage{InputTokens: new(int64(7))}
	counted := &v1alpha1.Usage{Requests: new(int64(1)), InputTokens: new(int64(10)), OutputTokens: new(int64(3)), TotalTokens: new(int64(13))}
	cases := map[string]struct {
		before v1alpha1.SessionStatus
		count  bool
		want   v1alpha1.SessionStatus
	}{
		"the usage is what the agent says, and stays": {
			v1alpha1.SessionStatus{Credentials: []v1alpha1.ResolvedCredential{delivered}, Usage: said}, false,
			v1alpha1.SessionStatus{Credentials: []v1alpha1.ResolvedCredential{delivered}, Usage: said, CredentialsInUse: []v1alpha1.CredentialInUse{inUse("openai", "9")}},
		},
		"another key stays in the gateway, which counts": {
			v1alpha1.SessionStatus{Credentials: []v1alpha1.ResolvedCredential{byProxy, delivered}}, true,
			v1alpha1.SessionStatus{
				Credentials: []v1alpha1.ResolvedCredential{byProxy, delivered}, Usage: counted, LastActivityTime: at(0),
				CredentialsInUse: []v1alpha1.CredentialInUse{inUse("anthropic", "7"), inUse("openai", "9")},
			},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, build.Session("fix-login").With(func(s *v1alpha1.Session) { s.Status = c.before }).Obj())
				l := s.ledger()
				if c.count {
					l.Add(entry("fix-login"))
					l.flushed(t, uid)
					l = s.ledger() // the gateway has restarted
				}
				l.Hold(holding("fix-login", "openai", "9"))
				l.flushed(t, uid)
				if diff := cmp.Diff(c.want, s.status("fix-login")); diff != "" {
					t.Errorf("status (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestASandboxThatSaysWhatItHasAllTheTimeIsWrittenEveryHalfMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, build.Session("fix-login").Obj())
		l := run(t, s.ledger())
		for range 600 {
			l.Hold(holding("fix-login", "openai", "9"))
			time.Sleep(100 * time.Millisecond)
		}
		l.stop()
		if got := s.writes.Load(); got > 4 {
			t.Errorf("%d writes in a minute", got)
		}
	})
}
