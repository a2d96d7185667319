package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLayerIsBuiltOnceForTheSameInputs(t *testing.T) {
	b, said := newBuilder(t)
	var made int
	first, err := b.layer(t.Context(), textRecipe("notes", "one", &made))
	if err != nil {
		t.Fatal(err)
	}
	said.Reset()
	second, err := b.layer(t.Context(), textRecipe("notes", "one", &made))
	if err != nil {
		t.Fatal(err)
	}
	if made != 1 || second != first {
		t.Errorf("written %d times, %+v then %+v; want the same layer, written once", made, first, second)
	}
	if said.Len() != 0 {
		t.Errorf("said %q although nothing was done", said)
	}
}

func TestLayerDigestsAreThoseOfItsBytes(t *testing.T) {
	b, _ := newBuilder(t)
	var made int
	l, err := b.layer(t.Context(), textRecipe("notes", "one", &made))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		open func() (io.ReadCloser, error)
		want string
	}{
		"packed": {l.Compressed, l.digest.Hex},
		"plain":  {l.Uncompressed, l.diffID.Hex},
	} {
		r, err := tc.open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(text)); got != tc.want {
			t.Errorf("digest of the %s layer is %s, recorded is %s", name, got, tc.want)
		}
		if name == "packed" && int64(len(text)) != l.size {
			t.Errorf("the packed layer has %d bytes, recorded are %d", len(text), l.size)
		}
	}
}

func TestChangedInputsReplaceTheLayer(t *testing.T) {
	b, _ := newBuilder(t)
	var made int
	for _, r := range []recipe{
		textRecipe("notes-long", "neighbour", &made),
		textRecipe("notes", "one", &made),
		textRecipe("notes", "two", &made),
	} {
		if _, err := b.layer(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"notes-" + keyOf("two") + ".digests", "notes-" + keyOf("two") + ".tar.zst",
		"notes-long-" + keyOf("neighbour") + ".digests", "notes-long-" + keyOf("neighbour") + ".tar.zst",
	}
	if diff := cmp.Diff(setOf(want), setOf(listFolder(t, b.cache("layers")))); diff != "" {
		t.Errorf("cache (-want +got):\n%s", diff)
	}
}

func TestDamagedCacheIsBuiltAgain(t *testing.T) {
	for name, damage := range map[string]func(l cachedLayer, stamp string) error{
		"no layer":       func(l cachedLayer, _ string) error { return os.Remove(l.path) },
		"no digests":     func(_ cachedLayer, stamp string) error { return os.Remove(stamp) },
		"half a digest":  func(_ cachedLayer, stamp string) error { return os.WriteFile(stamp, []byte("sha256:12"), 0o644) },
		"empty digests":  func(_ cachedLayer, stamp string) error { return os.WriteFile(stamp, nil, 0o644) },
		"only one of it": func(l cachedLayer, stamp string) error { return os.WriteFile(stamp, []byte(l.digest.String()), 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := newBuilder(t)
			var made int
			l, err := b.layer(t.Context(), textRecipe("notes", "one", &made))
			if err != nil {
				t.Fatal(err)
			}
			if err := damage(l, strings.TrimSuffix(l.path, ".tar.zst")+".digests"); err != nil {
				t.Fatal(err)
			}
			again, err := b.layer(t.Context(), textRecipe("notes", "one", &made))
			if err != nil {
				t.Fatal(err)
			}
			if made != 2 || again != l {
				t.Errorf("written %d times, %+v then %+v; want the same layer, written twice", made, l, again)
			}
		})
	}
}

func TestInterruptedLayerLeavesNothing(t *testing.T) {
	b, _ := newBuilder(t)
	interrupted := errors.New("interrupted")
	r := recipe{name: "notes", key: keyOf("x"), write: func(_ context.Context, w io.Writer) error {
		_, err := io.WriteString(w, "half a layer")
		return errors.Join(err, interrupted)
	}}
	if _, err := b.layer(t.Context(), r); !errors.Is(err, interrupted) {
		t.Fatalf("error = %v, want the interruption", err)
	}
	for _, folder := range []string{b.cache("layers"), b.cache("tmp")} {
		if left := listFolder(t, folder); len(left) != 0 {
			t.Errorf("%s holds %v", folder, left)
		}
	}
}

func TestWriteFileKeepsTheOldOneWhenItFails(t *testing.T) {
	b, _ := newBuilder(t)
	target := b.cache("images.json")
	writeTestFile(t, target, "old")
	if err := b.writeFile(target, func(io.Writer) error { return errors.New("no") }); err == nil {
		t.Error("no error")
	}
	if got := readTestFile(t, target); got != "old" {
		t.Errorf("the file holds %q, want the old text", got)
	}
}

func TestKeyTellsInputsApart(t *testing.T) {
	seen := map[string][]string{}
	for _, inputs := range [][]string{{"ab", "c"}, {"a", "bc"}, {"abc"}, {"abc", ""}, {}} {
		key := keyOf(inputs...)
		if other, ok := seen[key]; ok {
			t.Errorf("%q and %q have one key", inputs, other)
		}
		seen[key] = inputs
	}
}

func listFolder(t *testing.T, folder string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, 0, len(paths))
	for _, p := range paths {
		names = append(names, filepath.Base(p))
	}
	return names
}

func setOf(names []string) map[string]bool {
	set := map[string]bool{}
	for _, n := range names {
		set[n] = true
	}
	return set
}
