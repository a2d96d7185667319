package agent

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestSilenceBeginsAnewWithEverySignOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSilence(time.Second)
		for range 5 {
			time.Sleep(900 * time.Millisecond)
			s.broken()
		}
		select {
		case <-s.tooLong():
			t.Error("an agent that speaks was given up")
		default:
		}
		begin := time.Now()
		<-s.tooLong()
		if waited := time.Since(begin); waited != time.Second {
			t.Errorf("patience lasted %s", waited)
		}
	})
}

func TestSilenceWithoutALimitIsBorne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSilence(0)
		s.broken()
		time.Sleep(time.Hour)
		select {
		case <-s.tooLong():
			t.Error("patience ended")
		default:
		}
		s.end()
	})
}
