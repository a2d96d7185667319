package observation

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

func TestWhatIsWrittenIsRead(t *testing.T) {
	all := []Observation{
		{
			Ref: shared, Revision: "7", AcceptedTime: at(1), RejectedTimes: []time.Time{at(2), at(3)}, RateLimitedTime: at(4), RateLimitedUntil: at(5),
			QuotaExhaustedTime: at(6), LastUsedTime: at(7), KeyEchoedTime: at(8),
		},
		{Ref: Ref{Kind: v1alpha1.CredentialKindCredential, Namespace: "team-a", Name: "own"}, Look: Look{Time: at(9), Generation: 3, Fault: FaultEntryMissing}},
	}
	text := Encode(all)
	got, err := Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(all) // Credential comes before ClusterCredential only here
	slices.SortFunc(all, func(a, b Observation) int { return a.Compare(b.Ref) })
	if diff := cmp.Diff(all, got); diff != "" {
		t.Errorf("observations (-written +read):\n%s", diff)
	}
	slices.Reverse(all)
	if diff := cmp.Diff(text, Encode(all)); diff != "" {
		t.Errorf("text of the same in another order (-first +second):\n%s", diff)
	}
}

func TestTimesAreWrittenInUTC(t *testing.T) {
	east := time.FixedZone("east", 3600)
	got := Encode([]Observation{{Ref: shared, AcceptedTime: noon.In(east), RejectedTimes: []time.Time{at(1).In(east)}}})
	want := `{"credentials":[{"kind":"ClusterCredential","name":"anthropic-shared","acceptedTime":"2026-05-06T12:00:00Z","rejectedTimes":["2026-05-06T12:00:01Z"]}]}`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
}

func TestOfTooManyTheLastUsedAreWritten(t *testing.T) {
	var all []Observation
	for i := range MaxEntries + 10 {
		all = append(all, Observation{Ref: Ref{Kind: v1alpha1.CredentialKindClusterCredential, Name: fmt.Sprint("c", i)}, LastUsedTime: at(i)})
	}
	got, err := Decode(Encode(all))
	if err != nil {
		t.Fatal(err)
	}
	oldest := slices.MinFunc(got, func(a, b Observation) int { return a.LastUsedTime.Compare(b.LastUsedTime) })
	if diff := cmp.Diff([]any{MaxEntries, at(10)}, []any{len(got), oldest.LastUsedTime}); diff != "" {
		t.Errorf("number and time of the oldest (-want +got):\n%s", diff)
	}
}

func TestHostileTextIsReadWithCare(t *testing.T) {
	many := make([]string, MaxEntries+1)
	for i := range many {
		many[i] = fmt.Sprintf(`{"kind":"ClusterCredential","name":"c%d"}`, i)
	}
	cases := map[string]struct {
		text        string
		wantEntries int
		wantErr     string
	}{
		"nothing":                              {"", 0, "read the observations: no JSON at byte 0"},
		"no JSON":                              {"sk-ant-canary", 0, "read the observations: no JSON at byte 1"},
		"another JSON":                         {`{"credentials":"sk-ant-canary"}`, 0, "read the observations: another JSON than a gateway writes"},
		"no time":                              {`{"credentials":[{"acceptedTime":"sk-ant-canary"}]}`, 0, "read the observations: another JSON than a gateway writes"},
		"a list":                               {`[]`, 0, "read the observations: another JSON than a gateway writes"},
		"an empty object":                      {`{}`, 0, ""},
		"null":                                 {`null`, 0, ""},
		"fields of a later version":            {`{"credentials":[{"kind":"ClusterCredential","name":"c","colour":"red"}],"more":1}`, 1, ""},
		"an unknown kind":                      {`{"credentials":[{"kind":"Secret","name":"c"}]}`, 0, ""},
		"no name":                              {`{"credentials":[{"kind":"ClusterCredential"}]}`, 0, ""},
		"a ClusterCredential of a namespace":   {`{"credentials":[{"kind":"ClusterCredential","namespace":"n","name":"c"}]}`, 0, ""},
		"a Credential without a namespace":     {`{"credentials":[{"kind":"Credential","name":"c"}]}`, 0, ""},
		"a name that is too long":              {`{"credentials":[{"kind":"ClusterCredential","name":"` + strings.Repeat("n", 254) + `"}]}`, 0, ""},
		"a revision that is too long":          {`{"credentials":[{"kind":"ClusterCredential","name":"c","revision":"` + strings.Repeat("1", 65) + `"}]}`, 0, ""},
		"an unknown fault":                     {`{"credentials":[{"kind":"ClusterCredential","name":"c","look":{"fault":"sk-ant-canary"}}]}`, 0, ""},
		"a kind that is denied":                {`{"credentials":[{"kind":"ClusterCredential","name":"c","look":{"fault":"TokenKindDenied"}}]}`, 1, ""},
		"a token of a subscription":            {`{"credentials":[{"kind":"ClusterCredential","name":"c","look":{"fault":"SubscriptionToken"}}]}`, 1, ""},
		"a bad entry does not hide a good one": {`{"credentials":[{},{"kind":"ClusterCredential","name":"c"}]}`, 1, ""},
		"more than a gateway writes":           {`{"credentials":[` + strings.Join(many, ",") + `]}`, MaxEntries, ""},
		"larger than a ConfigMap":              {strings.Repeat(" ", maxSize+1), 0, "the observations are larger than a gateway writes them"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Decode(c.text)
			message := ""
			if err != nil {
				message = err.Error()
			}
			if diff := cmp.Diff(c.wantErr, message); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.wantEntries, len(got)); diff != "" {
				t.Errorf("number of entries (-want +got):\n%s", diff)
			}
		})
	}
}

// Whatever a gateway was made to write: it is read without a panic, bounded, and written again as it was read.
func FuzzDecode(f *testing.F) {
	f.Add(Encode([]Observation{{Ref: shared, Revision: "7", RejectedTimes: []time.Time{at(1), at(2)}, LastUsedTime: at(3)}}))
	f.Add(`{"credentials":[{"kind":"Credential","namespace":"n","name":"c","acceptedTime":"0001-01-01T00:00:00Z"}]}`)
	f.Add(`{"credentials":[{"kind":"ClusterCredential","name":"c","rejectedTimes":["9999-12-31T23:59:59Z",null]}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		first, err := Decode(text)
		if err != nil {
			return
		}
		for _, o := range first {
			if len(o.RejectedTimes) > RejectionsThatCount || len(o.Name) > maxName {
				t.Errorf("unbounded: %+v", o)
			}
			HealthOf(Merge(first, o.Revision, noon), true, noon)
		}
		written := Encode(first)
		second, err := Decode(written)
		if err != nil {
			t.Fatalf("%q is not read again: %v", written, err)
		}
		if again := Encode(second); again != written {
			t.Errorf("read and written again (-first +second):\n%s", cmp.Diff(written, again))
		}
	})
}
