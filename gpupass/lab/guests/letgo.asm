; A 512-byte guest that takes part in hot-unplug: it looks for slots asked to go down in the ACPI PCI
; hot-plug registers of q35 (QEMU docs/specs/acpi_pci_hotplug.rst) and ejects them after `seconds`.
; On COM1: "R" when it runs, "?" when asked to let go, "E" when it has.
bits 16
org 0x7c00

%define BASE   0x0cc0           ; ACPI_PCIHP_ADDR_ICH9
%define DOWN   BASE + 0x04
%define EJECT  BASE + 0x08
%define SELECT BASE + 0x10
%define BUSES  64

start:
        xor ax, ax
        mov ds, ax
        mov ss, ax
        mov sp, 0x7c00
        sti
        mov al, 'R'
        call say

scan:
        hlt                     ; the BIOS timer wakes us 18 times a second
        xor ecx, ecx
next_bus:
        mov eax, ecx
        mov dx, SELECT
        out dx, eax
        mov dx, DOWN
        in eax, dx
        test eax, eax
        jz none
        cmp eax, 0xffffffff
        je none
        push eax
        push ecx
        mov al, '?'
        call say
        call wait_seconds
        pop ecx
        mov eax, ecx
        mov dx, SELECT
        out dx, eax
        pop eax
        mov dx, EJECT
        out dx, eax
        mov al, 'E'
        call say
none:
        inc ecx
        cmp ecx, BUSES
        jb next_bus
        jmp scan

wait_seconds:
        mov si, [seconds]
.again: test si, si
        jz .done
        call read_second
        mov bl, al
.same:  hlt
        call read_second
        cmp al, bl
        je .same
        dec si
        jmp .again
.done:  ret

read_second:
        xor al, al
        out 0x70, al
        in al, 0x71
        ret

say:
        mov dx, 0x3f8
        out dx, al
        ret

        times 508 - ($ - $$) db 0
seconds: dw 0                   ; lab-domain writes --seconds here (offset 508, little endian)
        dw 0xaa55
