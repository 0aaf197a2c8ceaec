; smc-cpus: one processor changes the hot loop in which another one is; SDM volume 3, 8.1.3
; cpus: 2
%include "rt.inc"
%include "apic.inc"

ROUNDS equ 300

section .bss
	alignb 64
up:	resd 1
	alignb 64
rounds:	resd 1			; loops that the other has come out of
	alignb 64
runs:	resd 1

section .text
bits 32
	align 4096
; Never ends by itself. The jump is aligned, so that two bytes of it change at once.
ap_loop:
	inc dword [runs]
	jmp .hop
	align 16
.hop:	jmp .back
	align 16
.back:	jmp ap_loop
	align 16
ap_out:	inc dword [rounds]
.wait:	cmp word [ap_loop.hop], 0x0eeb
	jne .wait
	jmp ap_loop

	align 4096
main:
	APIC_ON
	START_AP ap_main
	SPIN [up], 1, je
	EQ [up], 1, "the second processor runs"
	cmp dword [up], 1
	jne .end
	EQ [ap_loop.hop], 0x90900eeb, "how the jump is encoded"
	mov ebx, 1
.round:	mov edx, [runs]
	add edx, 200
	SPIN [runs], edx, jge
	mov word [ap_loop.hop], 0x1eeb	; out of the loop
	SPIN [rounds], ebx, jge
	cmp [rounds], ebx
	jl .lost
	mov word [ap_loop.hop], 0x0eeb	; and in again
	mov ebx, [rounds]
	inc ebx
	cmp ebx, ROUNDS
	jbe .round
; It may have come out twice in a round: without a serialising instruction the old code may be run once
; more after the new bytes have been read.
.lost:	xor eax, eax
	cmp dword [rounds], ROUNDS
	setge al
	EQ eax, 1, "the loop was left as often as it was changed"
.end:	FINISH

ap_main:
	mov dword [up], 1
	jmp ap_loop
