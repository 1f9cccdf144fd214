// Command load is both ends of `scripts/bench`: `load upstream` is an HTTPS server that answers like a Kubernetes API
// server, from memory, and counts; `load run` is a client that sends what kubectl sends, through a proxy or not, and
// measures.
package main

import (
	"fmt"
	"os"
)

func main() {
	commands := map[string]func([]string) error{"upstream": upstream, "run": run}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: load upstream|run")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}
