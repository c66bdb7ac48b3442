package voprf

import (
	"context"
	"testing"

	"github.com/cloudflare/circl/oprf"
)

const benchElements = 8

func BenchmarkBlindEvaluate(b *testing.B) {
	r := randomness("bench")
	key, err := GenerateKey(ModeVOPRF, r)
	if err != nil {
		b.Fatal(err)
	}
	request, err := Blind(ModeVOPRF, r, inputs(benchElements))
	if err != nil {
		b.Fatal(err)
	}
	blinded := request.Blinded()
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := key.BlindEvaluate(r, blinded); err != nil {
				b.Fatal(err)
			}
		}
	})
	var theirs oprf.PrivateKey
	if err := theirs.UnmarshalBinary(oprf.SuiteRistretto255, key.Bytes()); err != nil {
		b.Fatal(err)
	}
	server := oprf.NewVerifiableServer(oprf.SuiteRistretto255, &theirs)
	_, question, err := oprf.NewVerifiableClient(oprf.SuiteRistretto255, theirs.Public()).Blind(inputs(benchElements))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("circl without decoding", func(b *testing.B) {
		for b.Loop() {
			if _, err := server.Evaluate(question); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkAsk(b *testing.B) {
	r := randomness("bench")
	key, err := GenerateKey(ModeVOPRF, r)
	if err != nil {
		b.Fatal(err)
	}
	in := inputs(benchElements)
	b.Run("blind", func(b *testing.B) {
		for b.Loop() {
			if _, err := Blind(ModeVOPRF, r, in); err != nil {
				b.Fatal(err)
			}
		}
	})
	request, err := Blind(ModeVOPRF, r, in)
	if err != nil {
		b.Fatal(err)
	}
	evaluated, proof, err := key.BlindEvaluate(r, request.Blinded())
	if err != nil {
		b.Fatal(err)
	}
	blinds := append(request.blinds[:0:0], request.blinds...)
	b.Run("finalize", func(b *testing.B) {
		for b.Loop() {
			request.blinds = append(request.blinds[:0:0], blinds...)
			if _, err := request.Finalize(key.Public(), evaluated, proof); err != nil {
				b.Fatal(err)
			}
		}
	})
	var theirs oprf.PrivateKey
	if err := theirs.UnmarshalBinary(oprf.SuiteRistretto255, key.Bytes()); err != nil {
		b.Fatal(err)
	}
	server := oprf.NewVerifiableServer(oprf.SuiteRistretto255, &theirs)
	client := oprf.NewVerifiableClient(oprf.SuiteRistretto255, theirs.Public())
	data, question, err := client.Blind(in)
	if err != nil {
		b.Fatal(err)
	}
	answer, err := server.Evaluate(question)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("finalize circl without decoding", func(b *testing.B) {
		for b.Loop() {
			if _, err := client.Finalize(data, answer); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkEvaluate(b *testing.B) {
	key, err := GenerateKey(ModeVOPRF, randomness("bench"))
	if err != nil {
		b.Fatal(err)
	}
	in := inputs(1024)
	for b.Loop() {
		if _, err := key.Evaluate(context.Background(), in, 1); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(in)), "ns/input")
}
