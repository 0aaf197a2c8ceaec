; xmc: one processor changes the code that another runs; SDM volume 3, 8.1.3
; cpus: 2
%include "rt.inc"
%include "apic.inc"

ROUNDS equ 2000

section .bss
	alignb 4096
code:	resb 4096
	alignb 64
ready:	resd 1		; the value that the code has now
	alignb 64
done:	resd 1		; the value that the other has seen
bad:	resd 1
up:	resd 1
stop:	resd 1
torn:	resd 1
runs:	resd 1

section .text
bits 32
main:
	mov byte [code + 3], 0xb8		; the immediate is aligned: it changes at once
	mov dword [code + 4], 0
	mov byte [code + 8], 0xc3
	APIC_ON
	START_AP ap_main
	SPIN [up], 1, je
	EQ [up], 1, "the second processor runs"
	cmp dword [up], 1
	jne .end
	; with a handshake: after a serialising instruction the other must see the new code
	mov ebx, 1
.round:
	mov [code + 4], ebx
	mov [ready], ebx
	SPIN [done], ebx, je
	cmp [done], ebx
	jne .lost
	inc ebx
	cmp ebx, ROUNDS
	jbe .round
.lost:
	EQ [done], ROUNDS, "rounds"
	EQ [bad], 0, "the other saw old code"
	; without one: the other calls all the time and must see old or new, in order, soon
	mov dword [ready], -1
	SPIN [runs], 100, jae
	mov ebx, ROUNDS + 1
.free:
	mov [code + 4], ebx
	pause
	inc ebx
	cmp ebx, ROUNDS * 2
	jbe .free
	mov edx, [runs]
	add edx, 1000
	SPIN [runs], edx, jge
	mov dword [stop], 1
	SPIN [up], 2, je
	EQ [torn], 0, "values that went backwards"
	EQ [done], ROUNDS * 2, "the last value arrives"
.end:
	FINISH

ap_main:
	mov dword [up], 1
	xor esi, esi
.wait:
	mov eax, [ready]
	cmp eax, -1
	je .free
	cmp eax, esi
	je .wait
	mov esi, eax
	xor eax, eax
	cpuid				; serialising
	call code + 3
	cmp eax, esi
	je .good
	inc dword [bad]
.good:	mov [done], esi
	jmp .wait
.free:
	mov esi, ROUNDS
.again:
	call code + 3
	cmp eax, esi
	jae .order
	inc dword [torn]
.order:	mov esi, eax
	mov [done], eax
	inc dword [runs]
	cmp dword [stop], 0
	je .again
	mov dword [up], 2
	cli
	hlt
