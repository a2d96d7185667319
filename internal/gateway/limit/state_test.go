package limit

import (
	"testing"
	"time"
)

// A claim may be used until claimTime is over, and counts for the minute after that.
func TestClaimCountsForTheMinuteAfterItsLastUse(t *testing.T) {
	began := time.Date(2026, time.March, 2, 10, 0, 0, 0, time.UTC)
	s, got := state{}.claimed(5, 3, began)
	if got != 3 {
		t.Fatalf("got %d of 5 requests, want the 3 that the limit leaves", got)
	}
	last := began.Add(claimTime)
	if n := s.at(last.Add(time.Minute - time.Nanosecond)).requested(); n != 3 {
		t.Errorf("%d count within a minute of the last use, want 3", n)
	}
	if n := s.at(last.Add(time.Minute)).requested(); n != 0 {
		t.Errorf("%d count after it", n)
	}
}

func TestDayEndsAtMidnightUTC(t *testing.T) {
	late := time.Date(2026, time.March, 2, 23, 59, 0, 0, time.UTC)
	if got := untilTomorrow(late.In(time.FixedZone("", 3*3600))); got != time.Minute {
		t.Errorf("%s until the next day, want a minute", got)
	}
	s := state{Day: "2026-03-02", Tokens: 7}
	if got := s.at(late).Tokens; got != 7 {
		t.Errorf("%d tokens on the same day, want 7", got)
	}
	if got := s.at(late.Add(time.Minute)).Tokens; got != 0 {
		t.Errorf("%d tokens on the next day", got)
	}
}

func TestClaimsOfASecondAreOne(t *testing.T) {
	began := time.Date(2026, time.March, 2, 10, 0, 0, 0, time.UTC)
	s := state{}
	for i := range 3 * 60 * 100 { // for three minutes, a hundred times a second
		now := began.Add(time.Duration(i) * 10 * time.Millisecond)
		s, _ = s.at(now).claimed(1, 1_000_000, now)
	}
	if most := int(window/grain) + 1; len(s.Requests) > most {
		t.Errorf("%d claims are written, want at most %d", len(s.Requests), most)
	}
	if n, least := s.requested(), int32(60*100); n < least || n > least+2*100 {
		t.Errorf("%d requests count, want those of the last minute, %d, and little more", n, least)
	}
}
