; smc-pages: code over page borders, under several addresses, and pages that are exchanged under it;
; SDM volume 3, 4.10.4, 8.1.3, 11.6
%include "rt.inc"

VIRT	equ 0x40000000		; table entry 0 and so on
ROUNDS	equ 200

section .bss
	alignb 4096
dir:	resb 4096
table:	resb 4096
page:	resb 4096
page2:	resb 4096
page3:	resb 4096

%macro MAP 2			; page number at VIRT, page
	mov dword [table + %1 * 4], %2 + 7
%endmacro
; A function at [edi]: mov eax, value; ret
%macro PUT 2
	mov byte [%1], 0xb8
	mov dword [%1 + 1], %2
	mov byte [%1 + 5], 0xc3
%endmacro

section .text
bits 32
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
	MAP 0, page
	MAP 1, page2
	MAP 2, page			; the alias
	mov eax, dir
	mov cr3, eax
	mov eax, cr0
	or eax, 0x80010000
	mov cr0, eax

	; an instruction over the border, written on either page each time
	mov edi, VIRT + 4096 - 3
	PUT edi, 0
	xor ecx, ecx
	xor ebp, ebp
.cross:	call edi
	add ebp, eax
	inc ecx
	mov [edi + 1], cl		; first page
	mov [edi + 3], cl		; second page: 3 * 65536 and so on
	cmp ecx, ROUNDS
	jb .cross
	EQ ebp, 0x10001 * (ROUNDS * (ROUNDS - 1) / 2), "over a border, both pages written"
	; a block that goes on in the second page
	mov edi, VIRT + 4096 - 8
	mov byte [edi], 0x40		; inc eax over the border, then add eax, imm; ret
	mov dword [edi + 1], 0x40404040
	mov dword [edi + 5], 0x40404040
	mov byte [edi + 9], 0x05
	mov dword [edi + 10], 0
	mov byte [edi + 14], 0xc3
	xor ecx, ecx
	xor ebp, ebp
.tail:	xor eax, eax
	call edi
	add ebp, eax
	inc ecx
	mov [edi + 10], ecx
	cmp ecx, ROUNDS
	jb .tail
	EQ ebp, 9 * ROUNDS + ROUNDS * (ROUNDS - 1) / 2, "a block over a border"
	; written by another address, run by both
	mov esi, VIRT
	mov ebx, VIRT + 0x2000
	PUT esi, 0
	xor ecx, ecx
	xor ebp, ebp
.alias:	call esi
	add ebp, eax
	inc ecx
	mov [ebx + 1], ecx
	call ebx
	sub eax, ecx
	jz .same
	add ebp, 0x1000000
.same:	cmp ecx, ROUNDS
	jb .alias
	EQ ebp, ROUNDS * (ROUNDS - 1) / 2, "written by an alias"
	; exchanged under the same address: seen after INVLPG, and after CR3
	PUT page3 + 0x40, 2
	PUT page + 0x40, 1
	mov esi, VIRT + 0x40
	mov ecx, ROUNDS
	xor ebp, ebp
.swap:	MAP 0, page3
	invlpg [esi]
	call esi
	add ebp, eax
	MAP 0, page
	mov eax, cr3
	mov cr3, eax
	call esi
	shl eax, 16
	add ebp, eax
	dec ecx
	jnz .swap
	EQ ebp, 0x10002 * ROUNDS, "exchanged by INVLPG and by CR3"
	; a loop that calls over pages, hot, and then the page of the callee is another one
	mov edx, 6
	xor ebp, ebp
.hot:	mov ecx, 150
.h1:	call esi
	add ebp, eax
	dec ecx
	jnz .h1
	MAP 0, page3
	test edx, 1
	jz .h2
	MAP 0, page
.h2:	invlpg [VIRT]
	dec edx
	jnz .hot
	EQ ebp, 150 * (1 + 2 + 1 + 2 + 1 + 2), "a hot call into a page that is exchanged"
	; the page of the return address is exchanged between call and return
	mov edx, 40
	xor ebp, ebp
	mov esi, .r_code
	mov edi, page + 0x80
	mov ecx, .r_end - .r_code
	rep movsb
	mov esi, .r_code
	mov edi, page3 + 0x80
	mov ecx, .r_end - .r_code
	rep movsb
	mov dword [page3 + 0x80 + .r_imm - .r_code + 1], 100
.back:	MAP 0, page
	invlpg [VIRT]
	mov ecx, .exchange
	call VIRT + 0x80		; calls ecx, and comes back on the other page
	add ebp, eax
	mov ecx, .nothing
	MAP 0, page
	invlpg [VIRT]
	call VIRT + 0x80
	add ebp, eax
	dec edx
	jnz .back
	EQ ebp, 40 * (100 + 1), "the page that is returned to is exchanged"
	; not there any more: the fault is at the return's target
	MAP 0, page
	invlpg [VIRT]
	mov ecx, .unmap
	RT_ARM .gone
	call VIRT + 0x80
.gone:	WAS "the page that is returned to is gone", VEC_PF, 0, VIRT + 0x82
	EQ [x_cr2], VIRT + 0x82, "CR2"
	; and without a flush of it, a fetch of the other half of a block faults
	MAP 0, page
	MAP 1, page2
	invlpg [VIRT]
	mov edi, VIRT + 4096 - 8
	call edi
	mov dword [table + 4], 0
	invlpg [VIRT + 0x1000]
	RT_ARM .half
	call edi
.half:	WAS "the second page of a block is gone", VEC_PF, 0, VIRT + 4096
	EQ [x_cr2], VIRT + 4096, "its CR2"
	FINISH

.r_code:
	call ecx
.r_imm:	mov eax, 1
	ret
.r_end:
.exchange:
	MAP 0, page3
	invlpg [VIRT]
.nothing:
	ret
.unmap:	mov dword [table], 0
	invlpg [VIRT]
	ret
