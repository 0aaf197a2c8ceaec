; realmode: 16-bit code as a BIOS or DOS has it: vector table, 64 KiB wrap, big real mode, BCD,
; string instructions, far calls; SDM volume 3, 20.1; volume 1, chapter 3.4
%include "rt.inc"

; In real mode: REQ got16, want, "what" notes a failure for later: the text's address and the
; value go into a list that protected mode judges.
%macro REQ 3
	STR %%text, %3
	push ax
	mov ax, %1
	push word %2
	push ax
	push dword %%text
	call r_check
	pop ax
%endmacro

section .bss
	alignb 8

section .text
bits 32
main:
	; to real mode: 16-bit segments first
	jmp SEL_CODE16:.low16
section .low
bits 16
main.low16:
	mov ax, SEL_DATA16
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov fs, ax
	mov eax, SEL_DATA
	mov gs, ax		; 4 GiB limit: stays for big real mode
	mov eax, cr0
	and al, 0xfe
	mov cr0, eax
	jmp 0:real
real:
	xor ax, ax
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov sp, 0x7000
	lidt [cs:r_idtr]
	mov dword [r_count], 0
	; int n by the table at 0
	mov word [0x70 * 4], r_int
	mov word [0x70 * 4 + 2], 0
	mov word [0 * 4], r_de
	mov word [0 * 4 + 2], 0
	mov word [6 * 4], r_ud
	mov word [6 * 4 + 2], 0
	mov word [13 * 4], r_gp
	mov word [13 * 4 + 2], 0
	mov word [12 * 4], r_ss
	mov word [12 * 4 + 2], 0
	mov word [3 * 4], r_int
	mov word [3 * 4 + 2], 0
	mov word [4 * 4], r_int
	mov word [4 * 4 + 2], 0
	mov bp, sp
	sti
	int 0x70
.after:	cli
	mov bx, sp
	REQ bx, bp, "SP after int and iret"
	REQ [r_ip], .after, "IP in the frame"
	REQ [r_cs], 0, "CS in the frame"
	mov ax, [r_flags]
	and ax, F_IF
	REQ ax, F_IF, "IF in the frame"
	mov ax, [r_inside]
	and ax, F_IF
	REQ ax, 0, "IF inside"
	int3
.after3:
	REQ [r_ip], .after3, "int3"
	mov al, 0x7f
	add al, 1
	into
.after4:
	REQ [r_ip], .after4, "into"
	; faults: IP is the instruction; the handler skips it
	mov word [r_ip], 0
	xor cx, cx
	mov word [r_skip], .de_end - .de
.de:	div cx
.de_end:
	REQ [r_ip], .de, "division by zero"
	mov word [r_skip], 2
.ud:	ud2
	REQ [r_ip], .ud, "ud2"
	; limits are 64 KiB: a word at 0xffff is a fault
	mov bx, 0xffff
	mov word [r_skip], .gp_end - .gp
.gp:	mov ax, [bx]
.gp_end:
	REQ [r_ip], .gp, "word at 0xffff"
	mov word [r_ip], 0
	mov ebx, 0x10000
	mov word [r_skip], .gp2_end - .gp2
.gp2:	mov al, [ebx]
.gp2_end:
	REQ [r_ip], .gp2, "beyond 64 KiB"
	; big real mode: GS has the limit that it had
	mov dword [dword gs:0x200000], 0x12345678
	mov ax, [dword gs:0x200002]
	REQ ax, 0x1234, "big real mode"
	mov ax, 0x1000
	mov gs, ax
	mov byte [dword gs:0x20000], 0x5a	; base 0x10000, limit still 4 GiB
	mov ax, 0x3000
	mov fs, ax
	mov al, [fs:0]
	mov ah, 0
	REQ ax, 0x5a, "a load in real mode changes the base alone"
	; segments: many names for one byte, wrap of the offset
	mov ax, 0x2000
	mov es, ax
	mov ax, 0x2001
	mov fs, ax
	mov word [es:0x10], 0xbeef
	mov ax, [fs:0]
	REQ ax, 0xbeef, "two segments, one word"
	mov bx, 0xfff8
	mov si, 0x18
	mov ax, [es:bx + si]
	REQ ax, 0xbeef, "offsets wrap at 64 KiB"
	; the stack wraps
	mov bp, sp
	mov ax, 0x6000
	mov ss, ax
	mov sp, 0
	push word 0x7788
	mov cx, sp
	xor ax, ax
	mov ss, ax
	mov sp, bp
	REQ cx, 0xfffe, "push at SP 0"
	; far call and return, by immediate and by memory
	call 0:r_far
	REQ ax, 0x4444, "far call"
	call far [r_far_ptr]
	REQ ax, 0x4444, "far call by memory"
	push word .retf
	push cs
	pop ax
	pop bx
	push ax
	push bx
	retf
.retf:
	mov bx, sp
	REQ bx, bp, "retf"
	; pusha, popa, enter, leave
	mov ax, 1
	mov cx, 2
	mov dx, 3
	mov bx, 4
	mov si, 6
	mov di, 7
	pusha
	xor ax, ax
	xor cx, cx
	xor di, di
	popa
	add ax, cx
	add ax, di
	REQ ax, 10, "pusha, popa"
	enter 16, 0
	mov ax, bp
	sub ax, sp
	leave
	REQ ax, 16, "enter"
	mov bx, sp
	REQ bx, bp, "leave"
	; decimal
	mov ax, 0x0015
	add al, 0x27
	daa
	REQ ax, 0x42, "daa"
	mov al, 0x42
	sub al, 0x15
	das
	mov ah, 0
	REQ ax, 0x27, "das"
	mov ax, 0x000b
	aaa
	REQ ax, 0x0101, "aaa"
	mov ax, 0x0200
	sub al, 1
	aas
	REQ ax, 0x0109, "aas"
	mov ax, 63
	aam
	REQ ax, 0x0603, "aam"
	aad
	REQ ax, 63, "aad"
	; string instructions, both ways; over the end of a segment they wrap
	xor ax, ax
	mov es, ax
	mov si, r_text
	mov di, 0x6000
	mov cx, 8
	cld
	rep movsb
	REQ [0x6006], 'gh', "rep movsb"
	REQ cx, 0, "CX of rep movsb"
	mov si, 0x6007
	mov di, 0x6017
	mov cx, 8
	std
	rep movsb
	cld
	REQ [0x6010], 'ab', "rep movsb downwards"
	mov si, 0x6000
	mov di, 0x6010
	mov cx, 100
	mov byte [0x6013], 'x'
	repe cmpsb
	REQ si, 0x6004, "repe cmpsb stops behind the difference"
	REQ cx, 96, "CX of repe cmpsb"
	mov di, 0x6000
	mov al, 'e'
	mov cx, 100
	repne scasb
	REQ di, 0x6005, "repne scasb"
	mov ax, 0x4000
	mov es, ax
	mov di, 0xfffe
	mov cx, 4
	mov al, 0x33
	rep stosb
	mov al, [es:1]
	mov ah, [es:0xffff]
	REQ ax, 0x3333, "rep stosb wraps"
	REQ di, 2, "DI after it"
	; xlat, lds, lodsw
	xor ax, ax
	mov ds, ax
	mov bx, r_text
	mov al, 3
	xlatb
	mov ah, 0
	REQ ax, 'd', "xlat"
	lds si, [r_ptr]
	mov ax, ds
	push word 0
	pop ds
	REQ ax, 0x1234, "lds, segment"
	REQ si, 0x5678, "lds, offset"
	; 32-bit operands and addresses
	mov eax, 0x10000
	mov ecx, 0x10000
	mul ecx
	REQ dx, 1, "32-bit mul"
	mov ebx, r_text
	mov esi, 1
	mov al, [ebx + esi * 4]
	mov ah, 0
	REQ ax, 'e', "32-bit address with a scale"
	; loop, jcxz
	mov cx, 10
	xor ax, ax
.loop:	add ax, cx
	loop .loop
	REQ ax, 55, "loop"
	jcxz .zero
	mov ax, 0
.zero:	REQ ax, 55, "jcxz"
	; the vector table can be moved
	lidt [cs:r_idtr2]
	mov word [0x5000 + 0x71 * 4], r_int
	mov word [0x5000 + 0x71 * 4 + 2], 0
	mov word [0x71 * 4], 0xffff
	int 0x71
.moved:	REQ [r_ip], .moved, "a vector table elsewhere"
	; smsw shows PE clear; A20
	smsw ax
	and ax, 1
	REQ ax, 0, "smsw"
	mov ax, 0xffff
	mov es, ax
	mov byte [0x500], 0x11
	mov byte [es:0x510], 0x22
	mov al, [0x500]
	mov ah, 0
	REQ ax, 0x11, "A20 is open"
	in al, 0x92
	and al, 0xfd
	out 0x92, al
	mov ah, [es:0x510]
	or al, 2
	out 0x92, al
	mov al, ah
	mov ah, 0
	REQ ax, 0x11, "A20 closed by port 0x92"
	; back
	lgdt [cs:r_gdtr]
	mov eax, cr0
	or al, 1
	mov cr0, eax
	jmp dword SEL_CODE:judge
r_far:	mov ax, 0x4444
	retf
r_int:	push bp
	mov bp, sp
	push ax
	mov ax, [bp + 2]
	mov [cs:r_ip], ax
	mov ax, [bp + 4]
	mov [cs:r_cs], ax
	mov ax, [bp + 6]
	mov [cs:r_flags], ax
	pushf
	pop ax
	mov [cs:r_inside], ax
	pop ax
	pop bp
	iret
r_de:
r_ud:
r_gp:
r_ss:	push bp
	mov bp, sp
	push ax
	mov ax, [bp + 2]
	mov [cs:r_ip], ax
	add ax, [cs:r_skip]
	mov [bp + 2], ax
	pop ax
	pop bp
	iret
; (text dword, got, want) on the stack; DS may be anything
r_check:
	push bp
	mov bp, sp
	push eax
	push ebx
	push ds
	xor ax, ax
	mov ds, ax
	mov bx, [r_count]
	cmp bx, 100
	jae .full
	imul bx, 8
	mov eax, [bp + 4]
	mov [r_list + bx], eax
	mov eax, [bp + 8]
	mov [r_list + bx + 4], eax
	inc word [r_count]
.full:
	pop ds
	pop ebx
	pop eax
	pop bp
	ret 8
r_idtr:	dw 0x3ff
	dd 0
r_idtr2: dw 0x3ff
	dd 0x5000
r_gdtr:	dw 0x1ff
	dd rt_gdt
r_far_ptr: dw r_far, 0
r_ptr:	dw 0x5678, 0x1234
r_text:	db "abcdefgh"
	align 4
r_count: dd 0
r_ip:	dw 0
r_cs:	dw 0
r_flags: dw 0
r_inside: dw 0
r_skip:	dw 0
r_list:	times 100 * 8 db 0

section .text
bits 32
judge:
	mov eax, SEL_DATA
	mov ds, eax
	mov es, eax
	mov ss, eax
	mov fs, eax
	mov gs, eax
	mov esp, rt_stack_top
	lidt [rt_idtr]
	xor ecx, ecx
.next:
	cmp ecx, [r_count]
	jae .end
	movzx eax, word [r_list + ecx * 8 + 6]
	movzx ebx, word [r_list + ecx * 8 + 4]
	push eax
	push ebx
	push dword [r_list + ecx * 8]
	call rt_eq32
	inc ecx
	jmp .next
.end:
	FINISH
