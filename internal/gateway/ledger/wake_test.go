package ledger

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/sandkeep/sandkeep/internal/build"
)

// TestWhatTheEndOfARunCouldNotWriteIsWrittenInItsTurn: Run has to learn of it, also where nothing else happens.
func TestWhatTheEndOfARunCouldNotWriteIsWrittenInItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, build.Session("fix-login").Obj(), build.Session("other").Obj())
		l := run(t, s.ledger())
		defer l.stop()
		l.Add(entry("fix-login"))
		synctest.Wait()
		s.fail = func(write bool, n int64) error {
			if write && n == 2 {
				l.Add(entry("other")) // Run makes its plans while this write is under way
				time.Sleep(time.Second)
				return down()
			}
			return nil
		}
		l.Add(entry("fix-login"))
		synctest.Wait()
		if err := l.Flush(t.Context(), uid, anotherRun()); err == nil {
			t.Fatal("the second write succeeded")
		}
		time.Sleep(Interval + time.Second)
		synctest.Wait()
		if got := s.usage("fix-login"); got != [3]int64{2, 20, 6} {
			t.Errorf("usage %v", got)
		}
	})
}
