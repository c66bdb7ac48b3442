// Package bench measures and feeds the rest: whole runs of the engines with
// both parties in one process, a yardstick to hold them against, and a
// synthetic population of two agencies with its truth.
//
// Every figure comes with what it depends on: sizes, parameters, CPU, workers,
// bytes each way and the commit. Results are checked against what they must
// be; a fast wrong answer is reported as wrong.
package bench
