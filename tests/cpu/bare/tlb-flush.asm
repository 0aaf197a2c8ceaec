; tlb-flush: one instruction, run many times, whose page is exchanged, protected and taken away in
; between; SDM volume 3, 4.10.4
%include "rt.inc"

VIRT	equ 0x40000000
ROUNDS	equ 40

section .bss
	alignb 4096
dir:	resb 4096
table:	resb 4096
page:	resb 4096
page2:	resb 4096

section .text
bits 32
%macro AGAIN 1			; each place finds its page, and is used again
	mov ecx, 20
%%l:	%1
	dec ecx
	jnz %%l
%endmacro
main:
	mov eax, cr4
	or eax, 0x10
	mov cr4, eax
	xor ecx, ecx
.id:	mov eax, ecx
	shl eax, 22
	or eax, 0x87
	mov [dir + ecx * 4], eax
	inc ecx
	cmp ecx, 1024
	jb .id
	mov dword [dir + (VIRT >> 22) * 4], table + 7
	mov dword [table], page + 7
	mov eax, dir
	mov cr3, eax
	mov eax, cr0
	or eax, 0x80010000
	mov cr0, eax
	mov dword [page], 1
	mov dword [page2], 0x10000
	mov esi, VIRT
	xor ebp, ebp
	mov edx, ROUNDS
.swap:	mov ecx, 20
.s1:	add ebp, [esi]
	dec ecx
	jnz .s1
	mov eax, page
	xor eax, page2
	xor [table], eax
	test edx, 2
	jz .by_cr3
	invlpg [esi]
	jmp .s2
.by_cr3:
	mov eax, cr3
	mov cr3, eax
.s2:	dec edx
	jnz .swap
	EQ ebp, 20 * ROUNDS / 2 * 0x10001, "reads of a page that is exchanged"
	; the same for stores, and a place that is a function
	mov dword [page], 0
	mov dword [page2], 0
	mov edx, ROUNDS
.store:	AGAIN call .inc
	mov eax, page
	xor eax, page2
	xor [table], eax
	invlpg [esi]
	dec edx
	jnz .store
	EQ [page], 20 * ROUNDS / 2, "stores to the first"
	EQ [page2], 20 * ROUNDS / 2, "stores to the second"
	; protected: the same place faults
	mov dword [table], page + 5
	invlpg [esi]
	RT_ARM .ro
	call .inc
.ro:	WAS "a page that is read-only now", VEC_PF, 3, .inc
	mov dword [table], page + 7
	invlpg [esi]
	call .inc
	EQ [page], 20 * ROUNDS / 2 + 1, "and writable again"
	; gone
	mov dword [table], 0
	mov eax, cr3
	mov cr3, eax
	RT_ARM .gone
	call .inc
.gone:	WAS "a page that is gone", VEC_PF, 2, .inc
	EQ [x_cr2], VIRT, "CR2"
	FINISH
.inc:	inc dword [esi]
	ret
