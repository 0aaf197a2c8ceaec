; hostile-code: a guest that does what no sane one does: more code than any cache holds, addresses
; that leave no translation alone, noise run as code. Nothing of that may do harm: the program comes
; to its end.
%include "rt.inc"
%include "apic.inc"

BULK	equ 0x1000000
BULK_SIZE equ 8 << 20
NOISE	equ 0x4000000		; 1 MiB, with itself as data
NOISE_SIZE equ 1 << 20
TRIES	equ 20000
TOUCH	equ 0x5000000

section .bss
	alignb 4096
dir:	resb 4096
table:	resb 4096 * 4
seed:	resd 1
lefts:	resd 1

section .text
bits 32
random:				; eax; keeps all else
	mov eax, [seed]
	imul eax, eax, 1664525
	add eax, 1013904223
	mov [seed], eax
	bswap eax
	ret

main:
	; ---- more code than the cache holds: `add [edx + n], eax` and so on, a function of 8 MiB
	mov edi, BULK
	xor ebx, ebx
	cld
.fill:	mov eax, 0x8201			; add [edx + disp32], eax
	stosw
	mov eax, ebx
	stosd
	add ebx, 4100
	and ebx, 0xfffff
	test edi, 0x80
	jz .no_jump
	mov ax, 0x00eb			; a block ends here
	stosw
.no_jump:
	cmp edi, BULK + BULK_SIZE
	jb .fill
	mov byte [edi], 0xc3
	mov edx, TOUCH
	mov eax, 1
	mov ecx, 2
.bulk:	push ecx
	call BULK
	pop ecx
	dec ecx
	jnz .bulk
	; the same number of additions as instructions, twice
	xor eax, eax
	mov ecx, 0x100000 / 4 + 1024
	mov esi, TOUCH
.sum:	add eax, [esi]
	add esi, 4
	dec ecx
	jnz .sum
	mov ebx, eax
	mov esi, BULK
	xor ecx, ecx
.count:	cmp word [esi], 0x8201
	jne .is_jump
	add ecx, 2
	add esi, 6
	jmp .c_next
.is_jump:
	add esi, 2
.c_next:
	cmp esi, BULK + BULK_SIZE
	jb .count
	EQ ebx, ecx, "what 8 MiB of code did"
	; ---- thrashed translations: 4 KiB pages, addresses that share a row, roots and flushes
	mov eax, cr4
	or eax, 0x10
	mov cr4, eax
	xor ecx, ecx
.id:	mov eax, ecx
	shl eax, 22
	or eax, 0x83
	mov [dir + ecx * 4], eax
	inc ecx
	cmp ecx, 1024
	jb .id
	xor ecx, ecx
.pt:	mov eax, ecx			; 16 MiB at 1 GiB: pages of the 64 KiB at TOUCH, over and over
	and eax, 15
	shl eax, 12
	add eax, TOUCH + 7
	mov [table + ecx * 4], eax
	inc ecx
	cmp ecx, 4096
	jb .pt
	mov dword [dir + 0x100 * 4], table + 7
	mov dword [dir + 0x101 * 4], table + 0x1000 + 7
	mov dword [dir + 0x102 * 4], table + 0x2000 + 7
	mov dword [dir + 0x103 * 4], table + 0x3000 + 7
	; what noise may reach at CPL 3: its own, and the pages above
	mov dword [dir + (NOISE >> 22) * 4], NOISE + 0x87
	mov eax, dir
	mov cr3, eax
	mov eax, cr0
	or eax, 0x80010000
	mov cr0, eax
	mov edi, TOUCH
	mov ecx, 0x10000 / 4
	xor eax, eax
	rep stosd
	mov edx, 30
.thrash:
	mov esi, 0x40000000
.t1:	inc dword [esi]
	add dword [esi + 0x200000], 1
	lock inc dword [esi + 0x400000]
	add esi, 4096 * 3
	cmp esi, 0x40000000 + (8 << 20)
	jb .t1
	invlpg [esi]
	test edx, 3
	jnz .t2
	mov eax, cr3
	mov cr3, eax
.t2:	dec edx
	jnz .thrash
	xor eax, eax
	xor ecx, ecx
.t3:	mov ebx, ecx
	shl ebx, 12
	add eax, [TOUCH + ebx]
	inc ecx
	cmp ecx, 16
	jb .t3
	EQ eax, 30 * 3 * 683, "what was counted through thrashed translations"
	; ---- noise as code, at CPL 3; what it raises leads on to the next place
	mov dword [seed], 12345
	mov edi, NOISE
.noise:	call random
	stosd
	cmp edi, NOISE + NOISE_SIZE
	jb .noise
	APIC_ON
	mov dword [APIC + A_DIV], 0xb
	mov dword [APIC + 0x320], 0x40	; the timer, once: noise may loop
	mov dword [lefts], TRIES
.try:	call random
	and eax, NOISE_SIZE - 1
	mov ebp, eax
	add ebp, NOISE
	mov ebx, NOISE + 0x1000
	mov esi, NOISE + 0x2000
	mov edi, NOISE + 0x3000
	mov ecx, 3
	mov edx, NOISE + 0x4000
	RT_ARM .back
	mov dword [APIC + 0x380], 50000
	mov ax, SEL_UDATA
	mov ds, ax
	mov es, ax
	push dword SEL_UDATA
	push dword NOISE + 0x8000
	push dword F_IF + 2
	push dword SEL_UCODE
	push ebp
	mov eax, NOISE + 0x5000
	iret
.back:	mov ax, SEL_DATA
	mov ds, ax
	mov es, ax
	mov dword [APIC + 0x380], 0
	mov dword [APIC + 0xb0], 0
	cld
	dec dword [lefts]
	jnz .try
	mov dword [rt_resume], 0
	EQ [lefts], 0, "places where noise was run"
	FINISH
