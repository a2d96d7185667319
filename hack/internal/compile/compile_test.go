package compile

import (
	"os"
	"strings"
	"testing"
)

func TestTheMakefileCompilesInTheSameWay(t *testing.T) {
	makefile, err := os.ReadFile("../../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(makefile), "export GOFLAGS := $(strip $(shell go env GOFLAGS) "+strings.Join(Flags, " ")+")\n") {
		t.Errorf("the Makefile has other GOFLAGS than %v: everything would be compiled twice", Flags)
	}
}
